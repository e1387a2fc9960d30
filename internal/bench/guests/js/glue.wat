;; Joins QuickJS and the guest contract: ruedo_warm evaluates answer.js to a
;; function, and each call gives it the input as a string.
(module
  (import "quickjs" "memory" (memory 1))
  (import "quickjs" "wasm_malloc" (func $malloc (param i32) (result i32)))
  (import "quickjs" "qjs_init" (func $init (result i32)))
  (import "quickjs" "qjs_eval" (func $eval (param i32 i32 i32 i32) (result i32)))
  (import "quickjs" "qjs_get_undefined" (func $undefined (result i32)))
  (import "quickjs" "qjs_new_string" (func $new_string (param i32 i32) (result i32)))
  (import "quickjs" "qjs_call" (func $call (param i32 i32 i32 i32) (result i32)))
  (import "quickjs" "qjs_is_exception" (func $is_exception (param i32) (result i32)))
  (import "quickjs" "qjs_get_string_len" (func $get_string (param i32 i32) (result i32)))
  (import "quickjs" "qjs_free_cstring" (func $free_string (param i32)))
  (import "quickjs" "qjs_free_value" (func $free (param i32)))
  (import "ruedo" "input_read" (func $input_read (param i32 i32) (result i32)))
  (import "ruedo" "output_write" (func $output_write (param i32 i32) (result i32)))

  ;; What QuickJS would ask of its host.
  (func (export "host_get_timezone_offset") (param i32 i32) (result i32) (i32.const 0))
  (func (export "host_interrupt") (result i32) (i32.const 0))
  (func (export "host_promise_rejection") (param i32 i32 i32))
  (func (export "host_module_normalize") (param i32 i32) (result i32) (i32.const 0))
  (func (export "host_module_load") (param i32 i32) (result i32) (i32.const 0))
  (func (export "host_call") (param i32 i32 i32 i32 i32) (result i32) (i32.const 0))

  (global $function (mut i32) (i32.const 0))
  (global $this (mut i32) (i32.const 0))
  (global $buffer (mut i32) (i32.const 0)) ;; 4,096 bytes of input, one argument, one length

  (data $source "@SOURCE@\00")

  (func (export "ruedo_abi_1"))

  (func (export "ruedo_warm")
    (drop (call $init))
    (global.set $buffer (call $malloc (i32.const 4112)))
    (memory.init $source (global.get $buffer) (i32.const 0) (i32.const @LENGTH@))
    (i32.store8 (i32.add (global.get $buffer) (i32.const @LENGTH@)) (i32.const 0))
    (i32.store8 offset=4096 (global.get $buffer) (i32.const 0)) ;; a name for the source: none
    (global.set $function
      (call $eval (global.get $buffer) (i32.const @LENGTH@) (i32.add (global.get $buffer) (i32.const 4096)) (i32.const 0)))
    (if (call $is_exception (global.get $function)) (then (unreachable)))
    (global.set $this (call $undefined)))

  (func (export "ruedo_call") (result i32)
    (local $argument i32) (local $answer i32) (local $text i32)
    (local.set $argument
      (call $new_string (global.get $buffer) (call $input_read (global.get $buffer) (i32.const 4096))))
    (i32.store offset=4096 (global.get $buffer) (local.get $argument))
    (local.set $answer
      (call $call (global.get $function) (global.get $this) (i32.const 1) (i32.add (global.get $buffer) (i32.const 4096))))
    (if (call $is_exception (local.get $answer)) (then (unreachable)))
    (local.set $text (call $get_string (local.get $answer) (i32.add (global.get $buffer) (i32.const 4100))))
    (drop (call $output_write (local.get $text) (i32.load offset=4100 (global.get $buffer))))
    (call $free_string (local.get $text))
    (call $free (local.get $answer))
    (call $free (local.get $argument))
    (i32.const 0)))
