;; One wasm call per turn, one host callback per host call. Written against quickjs-ng's C API, which quickjs.wasm exports.
;; JSValue on wasm32 is a NaN-boxed i64: the tag is the high half, pointer or int the low half.
;; @BASE is the static memory of this module, @TABLE its slot in the function table (filled in by link.py).
;;   BASE+0  out pointer   BASE+4 out length   (both directions: host result, turn result)
;;   BASE+8  len of arg 1  BASE+12 len of arg 2  BASE+16 op  BASE+20 context out  BASE+24 argv[2]
;;   BASE+40 the JS function that takes turns    BASE+48 string to release at the next turn
;;   BASE+64 "__host"  BASE+80 "__enter"  BASE+96 "stack"   BASE+128 buffer for host results up to @BUFFER bytes
(module
  (import "perdure" "call" (func $call (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "memory" (memory 1))
  (import "env" "__indirect_function_table" (table 1 funcref))
  (import "env" "qjs_get_context_ptr" (func $ctx (result i32)))
  (import "env" "qjs_get_runtime_ptr" (func $rt (result i32)))
  (import "env" "free" (func $free (param i32)))
  (import "env" "JS_GetGlobalObject" (func $global (param i32) (result i64)))
  (import "env" "JS_GetPropertyStr" (func $get (param i32 i64 i32) (result i64)))
  (import "env" "JS_SetPropertyStr" (func $set (param i32 i64 i32 i64) (result i32)))
  (import "env" "JS_NewCFunction2" (func $cfunction (param i32 i32 i32 i32 i32 i32) (result i64)))
  (import "env" "JS_ToInt32" (func $to_int (param i32 i32 i64) (result i32)))
  (import "env" "JS_ToCStringLen2" (func $to_utf8 (param i32 i32 i64 i32) (result i32)))
  (import "env" "JS_FreeCString" (func $free_utf8 (param i32 i32)))
  (import "env" "JS_GetUint8Array" (func $to_bytes (param i32 i32 i64) (result i32)))
  (import "env" "JS_NewStringLen" (func $new_string (param i32 i32 i32) (result i64)))
  (import "env" "JS_NewUint8ArrayCopy" (func $new_bytes (param i32 i32 i32) (result i64)))
  (import "env" "JS_Throw" (func $throw (param i32 i64) (result i64)))
  (import "env" "JS_GetException" (func $exception (param i32) (result i64)))
  (import "env" "JS_Call" (func $js_call (param i32 i64 i64 i32 i32) (result i64)))
  (import "env" "JS_HasException" (func $failed (param i32) (result i32)))
  (import "env" "JS_FreeValue" (func $drop (param i32 i64)))
  (import "env" "JS_ExecutePendingJob" (func $job (param i32 i32) (result i32)))

  (data (i32.const @BASE+64) "__host\00") (data (i32.const @BASE+80) "__enter\00") (data (i32.const @BASE+96) "stack\00")
  (elem (i32.const @TABLE) $host)

  ;; text or bytes of a value -> pointer (0 = none); the length goes to $len
  (func $view (param $c i32) (param $len i32) (param $v i64) (result i32)
    (i32.store (local.get $len) (i32.const 0))
    (if (i64.eq (i64.shr_u (local.get $v) (i64.const 32)) (i64.const 3)) (then (return (i32.const 0))))          ;; undefined
    (if (i64.eq (i64.shr_s (local.get $v) (i64.const 32)) (i64.const -1))                                        ;; an object: bytes
      (then (return (call $to_bytes (local.get $c) (local.get $len) (local.get $v)))))
    (call $to_utf8 (local.get $c) (local.get $len) (local.get $v) (i32.const 0)))
  (func $unview (param $c i32) (param $p i32) (param $v i64)
    (if (i32.and (i32.ne (local.get $p) (i32.const 0)) (i64.ne (i64.shr_s (local.get $v) (i64.const 32)) (i64.const -1)))
      (then (call $free_utf8 (local.get $c) (local.get $p)))))

  ;; __host(op, a, b): the only function the guest's prelude gets
  (func $host (param $c i32) (param $this i64) (param $argc i32) (param $argv i32) (result i64)
    (local $a i32) (local $b i32) (local $kind i32) (local $p i32) (local $r i64)
    (if (i32.lt_s (local.get $argc) (i32.const 3))
      (then (return (call $throw (local.get $c) (call $new_string (local.get $c) (i32.const @BASE+64) (i32.const 6))))))
    (drop (call $to_int (local.get $c) (i32.const @BASE+16) (i64.load (local.get $argv))))
    (local.set $a (call $view (local.get $c) (i32.const @BASE+8) (i64.load offset=8 (local.get $argv))))
    (local.set $b (call $view (local.get $c) (i32.const @BASE+12) (i64.load offset=16 (local.get $argv))))
    (if (call $failed (local.get $c)) (then (return (i64.const 0x600000000))))                                   ;; a Symbol, another object, no memory
    (local.set $kind (call $call (i32.load (i32.const @BASE+16)) (local.get $a) (i32.load (i32.const @BASE+8)) (local.get $b) (i32.load (i32.const @BASE+12))))
    (call $unview (local.get $c) (local.get $a) (i64.load offset=8 (local.get $argv)))
    (call $unview (local.get $c) (local.get $b) (i64.load offset=16 (local.get $argv)))
    (if (i32.eqz (local.get $kind)) (then (return (i64.const 0x300000000))))                                     ;; 0 undefined
    (local.set $p (i32.load (i32.const @BASE)))
    (if (i32.eq (local.get $kind) (i32.const 2))                                                                 ;; 2 bytes
      (then (local.set $r (call $new_bytes (local.get $c) (local.get $p) (i32.load (i32.const @BASE+4)))))
      (else (local.set $r (call $new_string (local.get $c) (local.get $p) (i32.load (i32.const @BASE+4))))))     ;; 1 string
    (if (i32.ne (local.get $p) (i32.const @BASE+128)) (then (call $free (local.get $p))))
    (if (i32.eq (local.get $kind) (i32.const 3)) (then (return (call $throw (local.get $c) (local.get $r)))))    ;; 3 throw
    (local.get $r))

  (func (export "perdure_install") (local $c i32) (local $g i64)
    (local.set $c (call $ctx)) (local.set $g (call $global (local.get $c)))
    (drop (call $set (local.get $c) (local.get $g) (i32.const @BASE+64)
      (call $cfunction (local.get $c) (i32.const @TABLE) (i32.const @BASE+64) (i32.const 3) (i32.const 0) (i32.const 0))))
    (call $drop (local.get $c) (local.get $g)))
  (func (export "perdure_bind") (local $c i32) (local $g i64)
    (local.set $c (call $ctx)) (local.set $g (call $global (local.get $c)))
    (i64.store (i32.const @BASE+40) (call $get (local.get $c) (local.get $g) (i32.const @BASE+80)))
    (call $drop (local.get $c) (local.get $g)))

  (func $out (param $c i32) (param $v i64)
    (i32.store (i32.const @BASE+48) (call $to_utf8 (local.get $c) (i32.const @BASE+4) (local.get $v) (i32.const 0)))
    (i32.store (i32.const @BASE) (i32.load (i32.const @BASE+48))))

  ;; a turn: __enter(op, text of n bytes at p), then every pending job. 0 undefined, 1 text in out, 3 threw (text in out), 4 threw, no text
  (func (export "perdure_enter") (param $op i32) (param $p i32) (param $n i32) (result i32)
    (local $c i32) (local $r i64) (local $kind i32) (local $s i64) (local $x i64)
    (local.set $c (call $ctx))
    (if (i32.load (i32.const @BASE+48)) (then
      (call $free_utf8 (local.get $c) (i32.load (i32.const @BASE+48))) (i32.store (i32.const @BASE+48) (i32.const 0))))
    (local.set $s (call $new_string (local.get $c) (local.get $p) (local.get $n)))
    (i64.store (i32.const @BASE+24) (i64.extend_i32_u (local.get $op)))
    (i64.store (i32.const @BASE+32) (local.get $s))
    (local.set $r (call $js_call (local.get $c) (i64.load (i32.const @BASE+40)) (i64.const 0x300000000) (i32.const 2) (i32.const @BASE+24)))
    (call $drop (local.get $c) (local.get $s))
    (local.set $kind (i32.const 1))
    (if (i64.eq (i64.shr_u (local.get $r) (i64.const 32)) (i64.const 6)) (then                                   ;; exception
      (local.set $kind (i32.const 3)) (local.set $r (call $exception (local.get $c)))))
    (if (i64.eq (i64.shr_u (local.get $r) (i64.const 32)) (i64.const 3))
      (then (local.set $kind (i32.const 0)))
      (else (call $out (local.get $c) (local.get $r))
        (if (i32.eqz (i32.load (i32.const @BASE))) (then (local.set $kind (i32.const 4))))))
    (call $drop (local.get $c) (local.get $r))
    (loop $jobs (br_if $jobs (i32.gt_s (call $job (call $rt) (i32.const @BASE+20)) (i32.const 0))))
    (local.get $kind)))
