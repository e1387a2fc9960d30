#include "textflag.h"

// func pointer() uintptr
TEXT ·pointer(SB), NOSPLIT, $0-8
	RDFSBASEQ AX
	MOVQ AX, ret+0(FP)
	RET
