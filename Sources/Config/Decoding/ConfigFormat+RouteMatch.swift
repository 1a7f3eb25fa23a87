extension ConfigFormat where Value == RouteMatch {
    /// The `match` of a route, for filters that choose requests as routes do.
    package static var routeMatch: ConfigFormat {
        ConfigFormat("an object, {} to match every request") { value in
            value.read(as: .object("match", ConfigurationDecoder(diagnostics: value.diagnostics).match))
        }
    }
}
