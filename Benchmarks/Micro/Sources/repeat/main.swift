internal import AllocationCount
internal import Glibc
internal import Operations

// repeat               the names of all operations
// repeat NAME TIMES    makes the operation ready, does it TIMES times, and prints what that allocated

let arguments = CommandLine.arguments
if arguments.count == 1 {
    for operation in Operation.all { print(operation.name) }
    exit(0)
}
guard arguments.count == 3, let operation = Operation.all.first(where: { $0.name == arguments[1] }),
    let times = Int(arguments[2]), times > 0
else {
    print("usage: repeat [NAME TIMES]")
    exit(64)
}
let run = operation.prepare()
// What is made at the first use, and kept, is made before.
run(10)
let before = rt_allocation_count()
run(times)
print(rt_allocation_count() - before)
