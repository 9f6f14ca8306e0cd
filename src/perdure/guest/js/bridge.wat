;; The bridge between the host and the JavaScript runtime: one wasm call per turn, one import per host call.
;;
;; It is written against the C API of quickjs-ng, and linked with it into one module when the image is built. @BASE is the
;; address of its own static memory and @TABLE its first slot in the function table; the linker fills both in.
;;
;; A JSValue is an i64 here: the upper half is its tag, the lower half a pointer or a number. Text crosses as an address and
;; a length packed into one i64: address | length << 32; 0 is no text.
;;
;;   @BASE+0   length of a host call's key       @BASE+4   length of its payload    @BASE+8   its operation
;;   @BASE+12  context of the last job           @BASE+16  arguments of a call (16 bytes)
;;   @BASE+32  the JavaScript function `enter`   @BASE+40  the JavaScript function `rejected`
;;   @BASE+48  text that the host has been given, freed when the next turn begins
;;   @BASE+64  names                             @BASE+256 the buffer, for texts in both directions
(module
  (import "perdure" "call" (func $call_host (param i32 i32 i32 i32 i32) (result i64)))
  (import "env" "memory" (memory 1))
  (import "env" "__indirect_function_table" (table 1 funcref))
  (import "env" "qjs_get_context_ptr" (func $context (result i32)))
  (import "env" "qjs_get_runtime_ptr" (func $runtime (result i32)))
  (import "env" "free" (func $free (param i32)))
  (import "env" "JS_GetGlobalObject" (func $global (param i32) (result i64)))
  (import "env" "JS_GetPropertyStr" (func $get_property (param i32 i64 i32) (result i64)))
  (import "env" "JS_SetPropertyStr" (func $set_property (param i32 i64 i32 i64) (result i32)))
  (import "env" "JS_NewCFunction2" (func $new_function (param i32 i32 i32 i32 i32 i32) (result i64)))
  (import "env" "JS_ToInt32" (func $to_int (param i32 i32 i64) (result i32)))
  (import "env" "JS_ToCStringLen2" (func $to_utf8 (param i32 i32 i64 i32) (result i32)))
  (import "env" "JS_FreeCString" (func $free_utf8 (param i32 i32)))
  (import "env" "JS_NewStringLen" (func $new_string (param i32 i32 i32) (result i64)))
  (import "env" "JS_GetException" (func $take_exception (param i32) (result i64)))
  (import "env" "JS_HasException" (func $has_exception (param i32) (result i32)))
  (import "env" "JS_Call" (func $call (param i32 i64 i64 i32 i32) (result i64)))
  (import "env" "JS_Eval" (func $eval (param i32 i32 i32 i32 i32) (result i64)))
  (import "env" "JS_FreeValue" (func $drop_value (param i32 i64)))
  (import "env" "JS_ExecutePendingJob" (func $run_job (param i32 i32) (result i32)))
  (import "env" "JS_SetHostPromiseRejectionTracker" (func $track_rejections (param i32 i32 i32)))

  (global $UNDEFINED i64 (i64.const 0x300000000))
  (global $EXCEPTION i64 (i64.const 0x600000000))
  (global $FAILED i64 (i64.const 0x8000000000000000))

  (data (i32.const @BASE+64) "__perdure_host\00")
  (data (i32.const @BASE+96) "__perdure_evaluate\00")
  (data (i32.const @BASE+128) "__perdure_enter\00")
  (data (i32.const @BASE+160) "__perdure_rejected\00")
  (data (i32.const @BASE+192) "snippet.js\00")
  (elem (i32.const @TABLE) $host $evaluate $rejected)

  (func $tag (param $value i64) (result i32)
    (i32.wrap_i64 (i64.shr_u (local.get $value) (i64.const 32))))
  (func $is_undefined (param $value i64) (result i32)
    (i32.eq (call $tag (local.get $value)) (i32.const 3)))
  (func $is_exception (param $value i64) (result i32)
    (i32.eq (call $tag (local.get $value)) (i32.const 6)))

  ;; The UTF-8 of a string; its length goes to `length`. 0 for undefined.
  (func $view (param $context i32) (param $length i32) (param $value i64) (result i32)
    (i32.store (local.get $length) (i32.const 0))
    (if (call $is_undefined (local.get $value)) (then (return (i32.const 0))))
    (call $to_utf8 (local.get $context) (local.get $length) (local.get $value) (i32.const 0)))
  (func $unview (param $context i32) (param $text i32)
    (if (local.get $text) (then (call $free_utf8 (local.get $context) (local.get $text)))))

  ;; host(operation, key, payload) in JavaScript: a string, or undefined for an empty reply.
  (func $host (param $context i32) (param $this i64) (param $count i32) (param $arguments i32) (result i64)
    (local $key i32) (local $payload i32) (local $reply i64) (local $address i32)
    (if (i32.ne (local.get $count) (i32.const 3)) (then (unreachable)))
    (drop (call $to_int (local.get $context) (i32.const @BASE+8) (i64.load (local.get $arguments))))
    (local.set $key (call $view (local.get $context) (i32.const @BASE+0) (i64.load offset=8 (local.get $arguments))))
    (local.set $payload (call $view (local.get $context) (i32.const @BASE+4) (i64.load offset=16 (local.get $arguments))))
    (if (call $has_exception (local.get $context)) (then                                        ;; no memory for the text
      (call $unview (local.get $context) (local.get $key))
      (call $unview (local.get $context) (local.get $payload))
      (return (global.get $EXCEPTION))))
    (local.set $reply (call $call_host (i32.load (i32.const @BASE+8))
      (local.get $key) (i32.load (i32.const @BASE+0)) (local.get $payload) (i32.load (i32.const @BASE+4))))
    (call $unview (local.get $context) (local.get $key))
    (call $unview (local.get $context) (local.get $payload))
    (if (i64.eqz (local.get $reply)) (then (return (global.get $UNDEFINED))))
    (local.set $address (i32.wrap_i64 (local.get $reply)))
    (local.set $reply (call $new_string (local.get $context) (local.get $address)
      (i32.wrap_i64 (i64.shr_u (local.get $reply) (i64.const 32)))))
    (if (i32.ne (local.get $address) (i32.const @BASE+256)) (then (call $free (local.get $address))))
    (local.get $reply))

  ;; evaluate(source) in JavaScript: a promise of {value}, the value of the last expression.
  (func $evaluate (param $context i32) (param $this i64) (param $count i32) (param $arguments i32) (result i64)
    (local $source i32) (local $result i64)
    (if (i32.ne (local.get $count) (i32.const 1)) (then (unreachable)))
    (local.set $source (call $view (local.get $context) (i32.const @BASE+0) (i64.load (local.get $arguments))))
    (if (i32.eqz (local.get $source)) (then (return (global.get $EXCEPTION))))
    (local.set $result (call $eval (local.get $context) (local.get $source) (i32.load (i32.const @BASE+0))
      (i32.const @BASE+192) (i32.const 128)))                                                   ;; 128: with `await`
    (call $unview (local.get $context) (local.get $source))
    (local.get $result))

  ;; A promise was rejected without a handler, or has got one since: rejected(promise, reason) or rejected(promise).
  (func $rejected (param $context i32) (param $promise i64) (param $reason i64) (param $is_handled i32) (param $data i32)
    (local $result i64)
    (i64.store (i32.const @BASE+16) (local.get $promise))
    (i64.store (i32.const @BASE+24) (local.get $reason))
    (local.set $result (call $call (local.get $context) (i64.load (i32.const @BASE+40)) (global.get $UNDEFINED)
      (select (i32.const 1) (i32.const 2) (local.get $is_handled)) (i32.const @BASE+16)))
    (if (call $is_exception (local.get $result))
      (then (call $drop_value (local.get $context) (call $take_exception (local.get $context))))
      (else (call $drop_value (local.get $context) (local.get $result)))))

  (func $drain_jobs (param $context i32)
    (local $outcome i32)
    (loop $more
      (local.set $outcome (call $run_job (call $runtime) (i32.const @BASE+12)))
      (if (i32.lt_s (local.get $outcome) (i32.const 0))                                         ;; the job threw: it is lost
        (then (call $drop_value (local.get $context) (call $take_exception (local.get $context)))))
      (br_if $more (local.get $outcome))))

  ;; The text of a value for the host, who reads it before the next turn.
  (func $give_text (param $context i32) (param $value i64) (result i64)
    (local $text i32)
    (local.set $text (call $to_utf8 (local.get $context) (i32.const @BASE+0) (local.get $value) (i32.const 0)))
    (call $drop_value (local.get $context) (local.get $value))
    (i32.store (i32.const @BASE+48) (local.get $text))
    (if (i32.eqz (local.get $text)) (then (return (i64.const 0))))
    (i64.or (i64.extend_i32_u (local.get $text))
      (i64.shl (i64.extend_i32_u (i32.load (i32.const @BASE+0))) (i64.const 32))))

  (func $enter (param $context i32) (param $operation i32) (param $payload i64) (result i64)
    (i64.store (i32.const @BASE+16) (i64.extend_i32_u (local.get $operation)))
    (i64.store (i32.const @BASE+24) (local.get $payload))
    (call $call (local.get $context) (i64.load (i32.const @BASE+32)) (global.get $UNDEFINED) (i32.const 2) (i32.const @BASE+16)))

  ;; One turn: enter(operation, payload), every job it made, then enter(0) until that returns the report instead of
  ;; undefined. The result has its highest bit set when it is the text of an exception instead.
  (func (export "perdure_call") (param $operation i32) (param $address i32) (param $length i32) (result i64)
    (local $context i32) (local $payload i64) (local $result i64)
    (local.set $context (call $context))
    (call $unview (local.get $context) (i32.load (i32.const @BASE+48)))
    (i32.store (i32.const @BASE+48) (i32.const 0))
    (local.set $payload (call $new_string (local.get $context) (local.get $address) (local.get $length)))
    (if (i32.ne (local.get $address) (i32.const @BASE+256)) (then (call $free (local.get $address))))
    (if (call $is_exception (local.get $payload))
      (then (local.set $result (local.get $payload)))
      (else
        (local.set $result (call $enter (local.get $context) (local.get $operation) (local.get $payload)))
        (call $drop_value (local.get $context) (local.get $payload))))
    (loop $more
      (if (call $is_exception (local.get $result)) (then
        (return (i64.or (global.get $FAILED)
          (call $give_text (local.get $context) (call $take_exception (local.get $context)))))))
      (if (call $is_undefined (local.get $result)) (then
        (call $drain_jobs (local.get $context))
        (local.set $result (call $enter (local.get $context) (i32.const 0) (global.get $UNDEFINED)))
        (br $more))))
    (call $give_text (local.get $context) (local.get $result)))

  ;; Where the host writes texts, and how many bytes fit: longer ones go into memory of their own, which is freed here.
  (func (export "perdure_buffer") (result i64)
    (i64.or (i64.const @BASE+256) (i64.shl (i64.const @BUFFER) (i64.const 32))))

  ;; While the image is built: before and after the runtime in JavaScript has been run.
  (func $install_function (param $context i32) (param $object i64) (param $slot i32) (param $name i32) (param $length i32)
    (drop (call $set_property (local.get $context) (local.get $object) (local.get $name)
      (call $new_function (local.get $context) (local.get $slot) (local.get $name) (local.get $length) (i32.const 0) (i32.const 0)))))
  (func (export "perdure_install")
    (local $context i32) (local $object i64)
    (local.set $context (call $context))
    (local.set $object (call $global (local.get $context)))
    (call $install_function (local.get $context) (local.get $object) (i32.const @TABLE+0) (i32.const @BASE+64) (i32.const 3))
    (call $install_function (local.get $context) (local.get $object) (i32.const @TABLE+1) (i32.const @BASE+96) (i32.const 1))
    (call $drop_value (local.get $context) (local.get $object)))
  (func (export "perdure_bind")
    (local $context i32) (local $object i64)
    (local.set $context (call $context))
    (local.set $object (call $global (local.get $context)))
    (i64.store (i32.const @BASE+32) (call $get_property (local.get $context) (local.get $object) (i32.const @BASE+128)))
    (i64.store (i32.const @BASE+40) (call $get_property (local.get $context) (local.get $object) (i32.const @BASE+160)))
    (call $drop_value (local.get $context) (local.get $object))
    (call $track_rejections (call $runtime) (i32.const @TABLE+2) (i32.const 0))))
