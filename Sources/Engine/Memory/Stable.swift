/// One value at an address that never moves, for state that the kernel or several handles point at.
///
/// Reading and writing through `value` costs what a C pointer costs: there is no reference count and no
/// dynamic exclusivity check (both were measured on the small-message path and are why hot state lives
/// here and not in class properties). The price is a rule: an access lasts one expression, and code that
/// may call back into the worker is never run inside one.
///
/// Public for the compiler: it inlines no `package` function into another target, and an access that is a call costs
/// five times as much.
@safe
public struct Stable<Value: ~Copyable> {
    /// For addressors of properties that stand for the value.
    public let address: UnsafeMutablePointer<Value>

    public init(_ value: consuming Value) {
        unsafe address = .allocate(capacity: 1)
        unsafe address.initialize(to: value)
    }

    @inlinable
    public var value: Value {
        @inline(__always) unsafeAddress {
            unsafe UnsafePointer(address)
        }
        @inline(__always) nonmutating unsafeMutableAddress {
            unsafe address
        }
    }

    /// Ends the value's life. No copy of this handle may be used afterwards.
    public func destroy() {
        unsafe address.deinitialize(count: 1)
        unsafe address.deallocate()
    }
}
