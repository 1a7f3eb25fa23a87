internal import CNghttp2
internal import HTTP

/// The library's callbacks, as it wants them, and its options.
enum HTTP2Library {
    /// Made once; sessions copy them.
    nonisolated(unsafe) private static let callbacks: OpaquePointer? = {
        var made: OpaquePointer?
        guard unsafe nghttp2_session_callbacks_new(&made) == 0 else { return nil }
        unsafe setReceiving(made)
        unsafe setSending(made)
        return unsafe made
    }()

    /// A session that calls back with `core`; nil without memory.
    @unsafe
    static func makeSession(_ core: UnsafeMutablePointer<HTTP2SessionCore>) -> OpaquePointer? {
        var option: OpaquePointer?
        guard unsafe nghttp2_option_new(&option) == 0 else { return nil }
        defer { unsafe nghttp2_option_del(option) }
        let settings = unsafe core.pointee.settings
        // Windows open when bodies have gone on, not when they came.
        unsafe nghttp2_option_set_no_auto_window_update(option, 1)
        // The fields of responses, all but `date`, are the same again and again: two dozen are room enough for them in
        // the compression table, of which each client has one here. Requests differ in more.
        if unsafe core.pointee.isServer { unsafe nghttp2_option_set_max_deflate_dynamic_table_size(option, 1_024) }
        // What fields may say is judged in one place for both directions, by HTTP2FieldBlock.
        unsafe nghttp2_option_set_no_http_messaging(option, 1)
        // Streams that are over are of no use to anybody: there are no priorities by dependency.
        unsafe nghttp2_option_set_no_closed_streams(option, 1)
        // RFC 9218 §7.1: the library reads it, and sends in the order that it asks for.
        unsafe nghttp2_option_set_builtin_recv_extension_type(option, UInt8(NGHTTP2_PRIORITY_UPDATE.rawValue))
        unsafe nghttp2_option_set_max_outbound_ack(option, settings.floods.acknowledgementsMax)
        unsafe nghttp2_option_set_max_send_header_block_length(option, 1 << 24)
        // Both are counted by the session itself, which knows the reason when it ends the connection.
        unsafe nghttp2_option_set_stream_reset_rate_limit(option, 1 << 40, 1 << 40)
        unsafe nghttp2_option_set_max_continuations(option, settings.floods.continuationsMax + 1)
        var session: OpaquePointer?
        var memory = unsafe memory(of: core)
        let result =
            unsafe core.pointee.isServer
            ? nghttp2_session_server_new3(&session, callbacks, core, option, &memory)
            : nghttp2_session_client_new3(&session, callbacks, core, option, &memory)
        return result == 0 ? unsafe session : nil
    }

    @unsafe
    private static func memory(of session: UnsafeMutablePointer<HTTP2SessionCore>) -> nghttp2_mem {
        unsafe nghttp2_mem(
            mem_user_data: session,
            malloc: { size, userData in unsafe core(of: userData).pointee.allocate(size) },
            free: { block, userData in
                if let block = unsafe block { unsafe core(of: userData).pointee.release(block) }
            },
            calloc: { count, size, userData in unsafe core(of: userData).pointee.allocateZeroed(count, size) },
            realloc: { block, size, userData in unsafe core(of: userData).pointee.reallocate(block, size) })
    }

    @unsafe
    private static func setReceiving(_ callbacks: OpaquePointer?) {
        unsafe nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, userData in
            guard let frame = unsafe frame else { return failed }
            return unsafe core(of: userData).pointee.headersBegan(frame)
                ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
        }
        unsafe nghttp2_session_callbacks_set_on_header_callback2(callbacks) { _, _, name, value, flags, userData in
            let name = unsafe nghttp2_rcbuf_get_buf(name)
            let value = unsafe nghttp2_rcbuf_get_buf(value)
            let isNeverIndexed = UInt32(flags) & NGHTTP2_NV_FLAG_NO_INDEX.rawValue != 0
            let isWanted = unsafe core(of: userData).pointee.headerReceived(
                bytes(name), bytes(value), isNeverIndexed: isNeverIndexed)
            return isWanted ? 0 : failed
        }
        unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, userData in
            guard let frame = unsafe frame else { return failed }
            let core = unsafe core(of: userData)
            unsafe core.pointee.frameReceived(frame)
            return unsafe core.pointee.failure == nil ? 0 : failed
        }
        unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) {
            _, _, id, data, length, userData in
            if let data = unsafe data { unsafe core(of: userData).pointee.dataReceived(id, data, length) }
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, id, code, userData in
            unsafe core(of: userData).pointee.streamClosed(id, code)
            return 0
        }
    }

    @unsafe
    private static func setSending(_ callbacks: OpaquePointer?) {
        unsafe nghttp2_session_callbacks_set_send_data_callback(callbacks) {
            _, frame, frameHead, length, source, userData in
            guard let frameHead = unsafe frameHead, let slot = unsafe HTTP2SessionCore.slot(source?.pointee.ptr) else {
                return failed
            }
            let isTaken = unsafe core(of: userData).pointee.sendData(slot, frameHead: frameHead, length: length)
            return isTaken ? 0 : NGHTTP2_ERR_WOULDBLOCK.rawValue
        }
        unsafe nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { session, frame, userData in
            guard let frame = unsafe frame else { return failed }
            if let id = unsafe core(of: userData).pointee.frameSent(frame) {
                // RFC 9113 §8.1: the answer is complete, the rest of the request is not wanted.
                unsafe nghttp2_submit_rst_stream(session, 0, id, NGHTTP2_NO_ERROR.rawValue)
            }
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks) { _, frame, _, userData in
            if let frame = unsafe frame { unsafe core(of: userData).pointee.frameNotSent(frame) }
            return 0
        }
    }

    /// Hands a body to the library by its length only: the bytes themselves never pass through it.
    @unsafe
    static func body(of slot: UInt32) -> nghttp2_data_provider {
        let source = unsafe nghttp2_data_source(ptr: HTTP2SessionCore.userData(slot))
        return unsafe nghttp2_data_provider(source: source) { session, id, _, max, flags, source, userData in
            guard let flags = unsafe flags, let slot = unsafe HTTP2SessionCore.slot(source?.pointee.ptr) else {
                return Int(failed)
            }
            let core = unsafe core(of: userData)
            unsafe flags.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
            switch unsafe core.pointee.supply(slot, max: max) {
            case .none: return Int(NGHTTP2_ERR_DEFERRED.rawValue)
            case .some(let count): return count
            case .last(let count, let trailers):
                unsafe flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
                guard trailers >= 0 else { return count }
                unsafe flags.pointee |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
                unsafe submitTrailers(session, id, slot, core)
                return count
            }
        }
    }
}

// Callbacks of C capture nothing, so what they share stands outside of any type.

/// The callback was handed what the session was made with.
@unsafe
private func core(of userData: UnsafeMutableRawPointer?) -> UnsafeMutablePointer<HTTP2SessionCore> {
    guard let userData = unsafe userData else { preconditionFailure("every session has a core") }
    return unsafe userData.assumingMemoryBound(to: HTTP2SessionCore.self)
}

private var failed: Int32 { NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }

@unsafe
private func submitTrailers(
    _ session: OpaquePointer?, _ id: Int32, _ slot: UInt32, _ core: UnsafeMutablePointer<HTTP2SessionCore>
) {
    unsafe core.pointee.listTrailers(of: slot)
    unsafe nghttp2_submit_trailer(session, id, core.pointee.list.base, core.pointee.list.count)
    unsafe core.pointee.dropTrailers(of: slot)
}

@unsafe
private func bytes(_ vector: nghttp2_vec) -> ByteSlice {
    guard let base = unsafe vector.base else { return .empty }
    return unsafe ByteSlice(start: UnsafeRawPointer(base), count: vector.len)
}
