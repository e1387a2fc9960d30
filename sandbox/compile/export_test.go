package compile

import "io"

// GetReady does what Child does until the module comes, but does not watch
// anything, and gives the memory limit.
func GetReady(stdin io.Reader, stdout io.Writer) int64 {
	o, err := readOrder(stdin)
	if err != nil {
		panic(err)
	}
	if _, err := confine(o); err != nil {
		panic(err)
	}
	if err := (answer{Verdict: verdictReady}).write(stdout); err != nil {
		panic(err)
	}
	return o.Memory
}
