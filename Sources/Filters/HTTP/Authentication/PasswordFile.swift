internal import Config
internal import HTTP

/// Users and their passwords' digests, as `htpasswd -s` writes them: `NAME:{SHA}BASE64`.
struct PasswordFile: Sendable {
    struct User: Sendable {
        let name: [UInt8]
        let digest: SHA1Digest
    }

    /// What is wrong with a line. Never says what stands there.
    enum Problem: Error {
        case noName, unknownDigest, repeated
    }

    static let usersMax = 10_000
    static let nameBytesMax = 256

    /// By name.
    private let users: [User]

    /// - Parameter users: no name twice
    private init(sorted users: [User]) { self.users = users }

    /// Collects users.
    struct Builder {
        private var users: [User] = []
        private var names: Set<[UInt8]> = []

        var count: Int { users.count }

        mutating func add(_ line: Substring) throws(Problem) {
            guard let colon = line.firstIndex(of: ":") else { throw .noName }
            let name = Array(line[..<colon].utf8)
            guard !name.isEmpty, name.count <= PasswordFile.nameBytesMax, name.allSatisfy({ $0 > 0x20 && $0 != 0x7F })
            else { throw .noName }
            let secret = line[line.index(after: colon)...]
            guard secret.hasPrefix("{SHA}"),
                let bytes = ByteSlice.withBytes(of: Array(secret.utf8.dropFirst(5)), Base64.decode),
                let digest = SHA1Digest(bytes: bytes)
            else { throw .unknownDigest }
            guard names.insert(name).inserted else { throw .repeated }
            users.append(User(name: name, digest: digest))
        }

        func build() -> PasswordFile {
            PasswordFile(sorted: users.sorted { $0.name.lexicographicallyPrecedes($1.name) })
        }
    }

    /// Whether `user` has `password`.
    ///
    /// The digest is made and compared whether there is such a user or not, and the comparison takes the same time
    /// wherever it fails: time tells nothing about passwords, and next to nothing about names.
    func admits(_ user: ByteSlice, _ password: ByteSlice) -> Bool {
        let digest = SHA1Digest(of: password)
        guard let found = find(user) else {
            _ = digest.isEqual(to: digest)
            return false
        }
        return digest.isEqual(to: users[found].digest)
    }

    private func find(_ name: ByteSlice) -> Int? {
        var low = 0
        var high = users.count
        while low < high {
            let middle = (low + high) / 2
            switch ByteSlice.withBytes(of: users[middle].name, { Self.order($0, name) }) {
            case 0: return middle
            case ..<0: low = middle + 1
            default: high = middle
            }
        }
        return nil
    }

    /// Below zero when `left` comes first, zero when they are equal.
    private static func order(_ left: ByteSlice, _ right: ByteSlice) -> Int {
        for index in 0..<min(left.count, right.count) where left[index] != right[index] {
            return left[index] < right[index] ? -1 : 1
        }
        return left.count - right.count
    }
}
