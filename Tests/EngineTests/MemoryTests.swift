import Engine
import Simulation
import Testing

@Suite("SlotTable")
struct SlotTableTests {
    @Test func reusesTheLastSlotThatCameBack() {
        var table = SlotTable<UInt64>(capacity: 3)
        let slots = [table.take(), table.take(), table.take()]
        #expect(slots == [0, 1, 2])
        #expect(table.take() == nil)
        table.giveBack(0)
        table.giveBack(2)
        #expect(table.inUse == 1)
        #expect(table.take() == 2)
        #expect(table.take() == 0)
        #expect(table.take() == nil)
        #expect(table.highWater == 3)
        table.destroy()
    }

    @Test func keepsValuesWhereTheyAre() {
        var table = SlotTable<UInt64>(capacity: 100_000)
        guard let first = table.take() else { return }
        let address = unsafe table.address(of: first)
        for _ in 0..<99_999 { _ = table.take() }
        table[first] = 42
        #expect(unsafe address.pointee == 42)
        #expect(unsafe table.address(of: first) == address)
        // What a slot held is there when it is handed out again: the generation of a connection lives on it.
        table.giveBack(first)
        #expect(table.take() == first && table[first] == 42)
        table.destroy()
    }
}

@Suite("IndexQueue")
struct IndexQueueTests {
    @Test func isFirstInFirstOutWhileItGrows() {
        var random = SimulationRandom(seed: 3)
        var queue = IndexQueue<UInt32>()
        var model: [UInt32] = []
        var next: UInt32 = 0
        for _ in 0..<20_000 {
            if random.chance(550) {
                queue.append(next)
                model.append(next)
                next += 1
            } else {
                let expected = model.isEmpty ? nil : model.removeFirst()
                #expect(queue.popFirst() == expected)
            }
            #expect(queue.count == model.count && queue.isEmpty == model.isEmpty)
        }
    }
}

@Suite("OperationID")
struct OperationIDTests {
    @Test func keepsAllThreeParts() {
        for operation in [Operation.accept, .receive, .housekeeping] {
            for (slot, generation) in [(0, 0), (UInt32.max, OperationID.generationMask), (7, 0x123456)]
                as [(UInt32, UInt32)]
            {
                let id = OperationID(operation, slot: slot, generation: generation)
                #expect(id.operation == operation && id.slot == slot && id.generation == generation)
                #expect(OperationID(rawValue: id.rawValue) == id)
            }
        }
    }

    @Test func wrapsGenerationsWithoutTouchingTheOperation() {
        let id = OperationID(.send, slot: 1, generation: OperationID.generationMask + 1)
        #expect(id.generation == 0 && id.operation == .send)
    }

    @Test func knowsNoOperationForForeignBytes() {
        #expect(OperationID(rawValue: .max).operation == nil)
    }
}
