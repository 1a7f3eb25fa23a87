import Config
import Dispatch
import Engine
import Filters
import Foundation
import HTTP

/// `file_header: { name: …, path: … }` puts the first line of a file, read anew for each request, into a header.
///
/// Reading files may take long, and a worker has other requests to serve. So another thread reads, and the answer comes
/// back through the worker's mailbox, if the exchange is still there by then.
final class FileHeaderFilter: HTTPFilter, ConfigurableHTTPFilter {
    struct Settings: Sendable {
        let name: HeaderKey
        let path: String
    }

    static let name = "file_header"

    static func settings(from config: ConfigNode, _ diagnostics: Diagnostics) -> Settings? {
        guard let object = ConfigObject(config, kind: name, diagnostics: diagnostics) else { return nil }
        let name = object.required("name", .headerName).flatMap(HeaderKey.init)
        let path = object.required("path", .string)
        guard object.finish(), let name, let path else { return nil }
        return Settings(name: name, path: path)
    }

    private static let readers = DispatchQueue(label: "file_header", attributes: .concurrent)

    private let settings: Settings

    init(settings: Settings, worker: Worker) {
        self.settings = settings
        super.init()
    }

    override func onRequestHeaders(_ stream: HTTPStream) -> Status {
        let ticket = stream.remoteTicket
        Self.readers.async { [settings] in
            let text = (try? String(contentsOfFile: settings.path, encoding: .utf8)) ?? ""
            let line = String(text.prefix { !$0.isNewline })
            ticket.send { stream in
                ByteSlice.withBytes(of: line) { _ = stream.request.headers.set(settings.name, $0) }
                stream.resumeRequest()
            }
        }
        return .pause
    }
}
