/// Which certificates answer for which server name (SNI, RFC 6066 §3): the exact name first, then a wildcard for its
/// first label, then the default, which is the first certificate.
///
/// Certificates for the same name with keys of different kinds stand side by side: the client's signature algorithms
/// choose between them. Of several of one kind the first one that was configured counts.
struct CertificateSelector: Sendable, Equatable {
    /// The certificates of one context, by their place in the configuration.
    private(set) var groups: [[Int]] = []
    private var exact: [String: Int] = [:]
    /// By what follows the `*`: `.example.com`.
    private var wildcards: [String: Int] = [:]

    /// A certificate as far as choosing goes.
    struct Candidate {
        /// Names as the certificate has them; `*.example.com` for wildcards.
        var names: [String]
        /// `RSA`, `EC`: only the difference matters.
        var keyKind: String
    }

    /// The group for clients that name no server, or one that no certificate is for.
    static let defaultGroup = 0

    /// - Parameter candidates: at least one
    init(_ candidates: [Candidate]) {
        precondition(!candidates.isEmpty, "a server has a certificate")
        var members: [String: [Int]] = [:]
        for (index, candidate) in candidates.enumerated() {
            for name in candidate.names.map({ $0.lowercased() }) {
                let isCovered = members[name, default: []].contains { candidates[$0].keyKind == candidate.keyKind }
                if !isCovered { members[name, default: []].append(index) }
            }
        }
        groups = [defaultMembers(candidates)]
        for name in members.keys.sorted() {
            let group = place(of: members[name] ?? [])
            if name.hasPrefix("*.") { wildcards[String(name.dropFirst())] = group } else { exact[name] = group }
        }
    }

    /// The first certificate, and beside it those of other kinds that share a name with it.
    private func defaultMembers(_ candidates: [Candidate]) -> [Int] {
        let names = Set(candidates[0].names.map { $0.lowercased() })
        var chosen = [0]
        for index in candidates.indices.dropFirst() {
            let isNewKind = !chosen.contains { candidates[$0].keyKind == candidates[index].keyKind }
            if isNewKind, candidates[index].names.contains(where: { names.contains($0.lowercased()) }) {
                chosen.append(index)
            }
        }
        return chosen
    }

    private mutating func place(of group: [Int]) -> Int {
        if let known = groups.firstIndex(of: group) { return known }
        groups.append(group)
        return groups.count - 1
    }

    /// The group for a name that a client sent.
    func group(for serverName: String) -> Int {
        var name = serverName.lowercased()
        if name.hasSuffix(".") { name.removeLast() }
        if let group = exact[name] { return group }
        if let dot = name.firstIndex(of: "."), dot != name.startIndex, let group = wildcards[String(name[dot...])] {
            return group
        }
        return Self.defaultGroup
    }
}
