package password

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// idle has all threads of this process run only when nobody else would, if the system
// lets it. Those that start later are like the ones that start them.
func idle() {
	for known := 0; ; {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil || len(tasks) == known {
			return
		}
		known = len(tasks)
		for _, t := range tasks {
			if id, err := strconv.Atoi(t.Name()); err == nil {
				_ = unix.SchedSetAttr(id, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0) // it has a low priority in any case
			}
		}
	}
}
