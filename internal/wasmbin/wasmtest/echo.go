package wasmtest

// Echo returns the smallest useful service: it answers with its input, up to
// 64 KiB.
//
//	(module
//	  (import "ruedo" "input_read" (func (param i32 i32) (result i32)))
//	  (import "ruedo" "output_write" (func (param i32 i32) (result i32)))
//	  (memory (export "memory") 1)
//	  (func (export "ruedo_abi_1"))
//	  (func (export "ruedo_call") (result i32)
//	    (drop (call 1 (i32.const 0) (call 0 (i32.const 0) (i32.const 65536))))
//	    (i32.const 0)))
func Echo() []byte {
	b := []byte("\x00asm\x01\x00\x00\x00")
	b = append(b, 0x01, 0x0e, 0x03, 0x60, 0x02, 0x7f, 0x7f, 0x01, 0x7f, 0x60, 0x00, 0x00, 0x60, 0x00, 0x01, 0x7f)
	b = append(b, 0x02, 0x29, 0x02)
	b = append(b, "\x05ruedo\x0ainput_read\x00\x00"...)
	b = append(b, "\x05ruedo\x0coutput_write\x00\x00"...)
	b = append(b, 0x03, 0x03, 0x02, 0x01, 0x02)
	b = append(b, 0x05, 0x03, 0x01, 0x00, 0x01)
	b = append(b, 0x07, 0x25, 0x03)
	b = append(b, "\x06memory\x02\x00"...)
	b = append(b, "\x0bruedo_abi_1\x00\x02"...)
	b = append(b, "\x0aruedo_call\x00\x03"...)
	b = append(b, 0x0a, 0x16, 0x02, 0x02, 0x00, 0x0b)
	return append(b, 0x11, 0x00, 0x41, 0x00, 0x41, 0x00, 0x41, 0x80, 0x80, 0x04, 0x10, 0x00, 0x10, 0x01, 0x1a, 0x41, 0x00, 0x0b)
}
