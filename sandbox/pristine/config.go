package pristine

// WasmPage is the unit of linear memory in bytes.
const WasmPage = 1 << 16

// Largest is how large a linear memory can be, in bytes.
const Largest = WasmPage << 16

// Defaults of [Config].
const (
	DefaultKeep    = 4 << 20
	DefaultRelearn = 4096
)

// small is up to where comparing all of a memory is cheaper than dropping it
// and taking the page faults again.
const small = 128 << 10

// Config says how memories over an image are restored. The zero value is good.
type Config struct {
	// Keep is how many bytes of private pages a memory keeps from call to call.
	// After a call that had more, they are given back to the system. 0 means
	// [DefaultKeep]; negative: none.
	Keep int64
	// Relearn is after how many restores in a row without news a memory forgets
	// a hot set of more than 64 KiB, in case one unusual call blew it up. 0
	// means [DefaultRelearn]; negative: never.
	Relearn int
	// Method forces one way of restoring. The default takes the best that works
	// here.
	Method Method
}

func (c Config) withDefaults() Config {
	switch {
	case c.Keep == 0:
		c.Keep = DefaultKeep
	case c.Keep < 0:
		c.Keep = 0
	}
	if c.Relearn == 0 {
		c.Relearn = DefaultRelearn
	}
	return c
}

// Method is a way of restoring.
type Method uint8

// The methods. All but MethodPlain need Linux on amd64 or arm64.
const (
	// MethodAuto takes the best that works.
	MethodAuto Method = iota
	// MethodHotSet copies back the pages that are known to be private, and
	// asks the kernel for them when the fault counter moved.
	MethodHotSet
	// MethodCompare compares all pages and copies back those that differ.
	MethodCompare
	// MethodDrop gives all private pages back to the system.
	MethodDrop
	// MethodPlain compares a plain copy that shares nothing.
	MethodPlain
)

// String gives the method's name.
func (m Method) String() string {
	return nameOf(m, "auto", "hotset", "compare", "drop", "plain")
}

func nameOf[T ~uint8](v T, names ...string) string {
	if int(v) < len(names) {
		return names[v]
	}
	return "unknown"
}
