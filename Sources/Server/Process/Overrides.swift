package import Config

/// What the command line says instead of the configuration file.
package struct Overrides: Sendable {
    package enum Admin: Sendable {
        case none
        case address(SocketAddress)
    }

    package var workers: WorkerCount?
    package var admin: Admin?

    package struct Invalid: Error, Sendable {
        package var message: String
    }

    package init(workers: String?, admin: String?) throws(Invalid) {
        if let workers {
            if workers == "auto" {
                self.workers = .auto
            } else if let count = Int(workers), ConfigLimits.workers.contains(count) {
                self.workers = .fixed(count)
            } else {
                throw Invalid(
                    message: "--workers is auto or a number from \(ConfigLimits.workers.lowerBound) "
                        + "to \(ConfigLimits.workers.upperBound)")
            }
        }
        if let admin {
            if admin == "none" {
                self.admin = Admin.none
            } else {
                do throws(ConfigProblem) {
                    self.admin = .address(try SocketAddress(listeningAt: admin))
                } catch {
                    throw Invalid(message: "--admin is none or \(SocketAddress.listeningForms)")
                }
            }
        }
    }

    func apply(to configuration: inout Configuration) {
        if let workers { configuration.workers = workers }
        switch admin {
        case nil: break
        case .some(.none): configuration.admin = nil
        case .some(.address(let address)): configuration.admin = AdminConfiguration(address: address)
        }
    }
}
