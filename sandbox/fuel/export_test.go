package fuel

// State returns how many slots are taken, and how many guests have one or wait.
func (s *CPUSlots) State() (taken, guests int) { return len(s.slots), int(s.guests.Load()) }

// HoldAll takes all slots until release.
func (s *CPUSlots) HoldAll() (release func()) {
	for range cap(s.slots) {
		s.slots <- struct{}{}
	}
	return func() {
		for range cap(s.slots) {
			<-s.slots
		}
	}
}
