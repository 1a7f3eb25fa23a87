/// What became of a configuration file.
package struct LoadedConfiguration {
    /// As much as was understood; nil when the document is not even an object.
    ///
    /// With errors it is good for one thing: later stages look for more errors in it. Values that could not be read
    /// are missing from it or stand at their default; nothing must run it.
    package let configuration: Configuration?
    /// Later stages report here, with the place of the node they could not use.
    package let diagnostics: Diagnostics
    /// The text that was read; empty when the file could not be.
    package let source: String

    /// All errors so far, in the order of the file. The configuration may be used when there are none.
    package var errors: [ConfigError] { diagnostics.errors }
}

extension Configuration {
    /// Reads a configuration from text.
    ///
    /// - Parameter file: what errors call the text
    package static func load(text: String, file: String) -> LoadedConfiguration {
        load(text: text, diagnostics: Diagnostics(file: file))
    }

    /// Reads a configuration file of at most ``ConfigDocumentLimits/bytes`` bytes.
    package static func load(path: String) -> LoadedConfiguration {
        let diagnostics = Diagnostics(file: path)
        guard let text = ConfigFile.read(path: path, diagnostics: diagnostics) else {
            return LoadedConfiguration(configuration: nil, diagnostics: diagnostics, source: "")
        }
        return load(text: text, diagnostics: diagnostics)
    }

    private static func load(text: String, diagnostics: Diagnostics) -> LoadedConfiguration {
        let root = ConfigDocument.parse(text, diagnostics: diagnostics)
        let configuration = root.flatMap { ConfigurationDecoder(diagnostics: diagnostics).configuration($0) }
        return LoadedConfiguration(configuration: configuration, diagnostics: diagnostics, source: text)
    }
}
