import Benchmark
import Operations

// How long single operations take on this machine: `swift package benchmark`. Times are for people to read; what CI
// checks is counted (`Benchmarks/micro`).
let benchmarks: @Sendable () -> Void = {
    Benchmark.defaultConfiguration = .init(
        metrics: [.wallClock, .throughput], scalingFactor: .kilo, maxDuration: .seconds(1), maxIterations: 10_000)
    for (index, operation) in Operation.all.enumerated() {
        Benchmark(operation.name) { benchmark in
            // An operation is made ready where it runs: closures that hold its state do not move between threads.
            let run = Operation.all[index].prepare()
            run(10)
            benchmark.startMeasurement()
            run(benchmark.scaledIterations.count)
            benchmark.stopMeasurement()
        }
    }
}
