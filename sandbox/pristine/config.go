package pristine

// WasmPage is the unit of linear memory in bytes.
const WasmPage = 1 << 16

// Largest is the largest size of a linear memory, in bytes.
const Largest = WasmPage << 16

// Defaults of [Config].
const (
	DefaultKeep    = 4 << 20
	DefaultRelearn = 4096
)

// small is the size up to which comparing all of a memory is cheaper than
// dropping it and taking the page faults again.
const small = 128 << 10

// Config sets how memories over an image are restored. The zero value is ready
// to use.
type Config struct {
	// Keep is how many bytes of private pages a memory retains between calls. If a
	// call leaves more, they are returned to the system. 0 means [DefaultKeep]; a
	// negative value retains none.
	Keep int64
	// Relearn is the number of restores without new pages after which a memory
	// forgets a hot set of more than 64 KiB, in case one unusual call inflated it.
	// 0 means [DefaultRelearn]; a negative value means never.
	Relearn int
	// Method forces one way of restoring. The default is the best that works here.
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
	// MethodAuto chooses the best method that works.
	MethodAuto Method = iota
	// MethodHotSet copies back the pages that are known to be private, and asks
	// the kernel for them if the fault counter moved.
	MethodHotSet
	// MethodCompare compares all pages and copies back those that differ.
	MethodCompare
	// MethodDrop returns all private pages to the system.
	MethodDrop
	// MethodPlain compares with a plain copy and shares nothing.
	MethodPlain
)

// String returns the method's name.
func (m Method) String() string {
	return nameOf(m, "auto", "hotset", "compare", "drop", "plain")
}

func nameOf[T ~uint8](v T, names ...string) string {
	if int(v) < len(names) {
		return names[v]
	}
	return "unknown"
}
