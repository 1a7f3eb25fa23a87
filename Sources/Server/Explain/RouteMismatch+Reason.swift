internal import Config
internal import Filters
internal import HTTP

extension RouteMismatch {
    /// What is not as it should be: `header x-beta is "2", not "1"`.
    func reason(in match: RouteMatch, for head: borrowing RequestHead) -> String {
        switch self {
        case .method: "the method is none of \(match.methods.joined(separator: ", "))"
        case .path: "the path is not \(match.path.text)"
        case .header(let index): reason(match.headers[index], "header", value: value(match.headers[index].name, head))
        case .query(let index): reason(match.query[index], "query parameter", value: nil)
        case .cookie(let index): reason(match.cookies[index], "cookie", value: nil)
        }
    }

    private func value(_ name: String, _ head: borrowing RequestHead) -> String? {
        HeaderKey(name).flatMap { head.headers.firstIndex(of: $0) }.flatMap { head.headers.field(at: $0)?.value.text }
    }

    private func reason(_ match: FieldMatch, _ kind: String, value: String?) -> String {
        let not = match.isInverted ? "must not" : "must"
        let wanted =
            switch match.condition {
            case .present: "be there"
            case .exact(let text): "be \(text.quotedForMessage)"
            case .prefix(let text): "start with \(text.quotedForMessage)"
            case .suffix(let text): "end with \(text.quotedForMessage)"
            case .contains(let text): "contain \(text.quotedForMessage)"
            case .regex(let pattern): "match \(pattern.text.quotedForMessage)"
            }
        let found = value.map { ", is \($0.quotedForMessage)" } ?? ""
        return "\(kind) \(match.name) \(not) \(wanted)\(found)"
    }
}

extension PathMatch {
    /// As the configuration says it.
    var text: String {
        switch self {
        case .any: "every path"
        case .exact(let path): "path \(path)"
        case .prefix(let prefix): "path_prefix \(prefix)"
        case .regex(let pattern): "path_regex \(pattern.text)"
        case .template(let template): "path_template \(template.text)"
        }
    }
}
