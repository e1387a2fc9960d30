package runner

import "github.com/KimMachineGun/automemlimit/memlimit"

// unknownMemory is assumed if the system does not say how much memory there is.
const unknownMemory = 2 << 30

// Memory returns how much memory this process can have, in bytes, and whether its
// control group limits it to less than the machine has. Zero if that is not known.
func Memory() (bytes uint64, limited bool) {
	if n, err := memlimit.FromSystem(); err == nil {
		bytes = n
	}
	if n, err := memlimit.FromCgroup(); err == nil && n > 0 && (bytes == 0 || n < bytes) {
		bytes, limited = n, true
	}
	return bytes, limited
}

// defaultPlanBytes returns a quarter of the memory that the process can have. The
// rest is for calls, for the collector, and for whatever else runs there.
func defaultPlanBytes() int64 {
	memory, _ := Memory()
	if memory == 0 {
		memory = unknownMemory
	}
	return int64(memory / 4)
}
