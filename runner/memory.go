package runner

import "github.com/KimMachineGun/automemlimit/memlimit"

// unknownMemory is assumed if the system does not say how much memory there is.
const unknownMemory = 2 << 30

// defaultPlanBytes returns a quarter of the memory that the process can have:
// that of the machine, or the limit of its cgroup. The rest is for calls, for
// the collector, and for whatever else runs there.
func defaultPlanBytes() int64 {
	memory := uint64(unknownMemory)
	if n, err := memlimit.FromSystem(); err == nil && n > 0 {
		memory = n
	}
	if n, err := memlimit.FromCgroup(); err == nil && n > 0 {
		memory = min(memory, n)
	}
	return int64(memory / 4)
}
