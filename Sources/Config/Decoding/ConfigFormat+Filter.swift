extension ConfigFormat {
    /// `NAME` or `NAME: { ... }`.
    ///
    /// - Parameter make: gets the name, the configuration, and where the name stands
    static func filter(_ make: @escaping (String, ConfigNode, ConfigOrigin) -> Value) -> ConfigFormat {
        ConfigFormat("the name of a filter, or an object with the name as its only key") { value in
            switch value.node.value {
            case .scalar:
                return value.read(as: .name).map { name in
                    make(name, .emptyObject(at: value.node.position), ConfigOrigin(value.node.position))
                }
            case .object(let entries) where entries.count == 1:
                let entry = entries[0]
                let nameNode = ConfigNode(.scalar(ConfigScalar(entry.key, isQuoted: true)), at: entry.keyPosition)
                let nameValue = ConfigValue(
                    node: nameNode, subject: "the name of a filter", expectation: value.expectation,
                    diagnostics: value.diagnostics)
                return nameValue.read(as: .name).map { name in
                    // `- NAME:` with nothing after it reads as no configuration.
                    let config = entry.value.isNull ? .emptyObject(at: entry.keyPosition) : entry.value
                    return make(name, config, ConfigOrigin(entry.keyPosition))
                }
            case .object(let entries):
                value.refuse("with \(entries.count) keys")
                return nil
            case .list:
                value.refuse()
                return nil
            }
        }
    }

    /// `{ NAME: { ... }, NAME: off }`.
    static func filtersByName<Filter>(
        _ make: @escaping (String, ConfigNode, ConfigOrigin) -> Filter
    ) -> ConfigFormat<[Filter]> where Value == [Filter] {
        ConfigFormat<[Filter]>("an object with the settings of filters by their names") { value in
            guard case .object(let entries) = value.node.value, !entries.isEmpty else {
                value.refuse()
                return nil
            }
            return entries.compactMap { entry in
                let nameNode = ConfigNode(.scalar(ConfigScalar(entry.key, isQuoted: true)), at: entry.keyPosition)
                let nameValue = ConfigValue(
                    node: nameNode, subject: "the name of a filter", expectation: value.expectation,
                    diagnostics: value.diagnostics)
                return nameValue.read(as: .name).map { name in
                    let config = entry.value.isNull ? .emptyObject(at: entry.keyPosition) : entry.value
                    return make(name, config, ConfigOrigin(entry.keyPosition))
                }
            }
        }
    }
}
