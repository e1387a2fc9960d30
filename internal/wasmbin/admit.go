package wasmbin

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/abi"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// Limits of admission. A zero field means its default.
type Limits struct {
	// Size is the size of the file in bytes. Default: 64 MiB.
	Size int64
	// MemoryPages is the minimum memory of a module, in pages of 64 KiB. Default:
	// 65,536, all that 32 bits address.
	MemoryPages uint32
	// Types, Functions (those that the module defines), Imports, Exports and
	// Globals are counts. Defaults: 20,000, 100,000, 1,000, 10,000 and 10,000.
	Types, Functions, Imports, Exports, Globals int
	// Tables is a count, TableMin the sum of all their minimum sizes. Defaults: 16
	// and 1,000,000.
	Tables   int
	TableMin uint32
	// Elements and Data count the segments. Default: 100,000 each.
	Elements, Data int
	// Params bounds the parameters, and the results, of one type. Default: 1,000.
	Params int
	// Locals bounds the declared locals of one function. Default: 10,000.
	Locals int
	// Body is the size of one function's code in bytes. Default: 1 MiB.
	Body int
	// Nesting bounds how deeply blocks nest, Targets the targets of one br_table.
	// Defaults: 10,000 and 16,384. Go and LLVM nest one block for each case of a
	// switch, so honest programs reach 4,000 and 5,000.
	Nesting, Targets int
	// Complexity bounds the work of a compiler, in units that take about a
	// microsecond each in the worst case. Each MiB of code adds a half. Default:
	// 16,000,000. See [Info].
	Complexity int64
}

// WithDefaults fills in the fields that are zero.
func (l Limits) WithDefaults() Limits {
	set := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	if l.Size <= 0 {
		l.Size = 64 << 20
	}
	if l.MemoryPages == 0 || l.MemoryPages > maxPages {
		l.MemoryPages = maxPages
	}
	if l.TableMin == 0 {
		l.TableMin = 1_000_000
	}
	set(&l.Types, 20_000)
	set(&l.Functions, 100_000)
	set(&l.Imports, 1_000)
	set(&l.Exports, 10_000)
	set(&l.Globals, 10_000)
	set(&l.Tables, 16)
	set(&l.Elements, 100_000)
	set(&l.Data, 100_000)
	set(&l.Params, 1_000)
	set(&l.Locals, 10_000)
	set(&l.Body, 1<<20)
	set(&l.Nesting, 10_000)
	set(&l.Targets, 16_384)
	if l.Complexity <= 0 {
		l.Complexity = 16_000_000
	}
	return l
}

func (l Limits) caps() caps {
	return caps{
		// Honest modules have dozens of sections, and names of some kilobytes in all.
		sections: 10_000, names: 1 << 20,
		types: uint64(l.Types), imports: uint64(l.Imports), functions: uint64(l.Functions), tables: uint64(l.Tables),
		// A second memory is refused later, with its own reason.
		memories: 100,
		globals:  uint64(l.Globals), exports: uint64(l.Exports), elements: uint64(l.Elements), data: uint64(l.Data),
		params: uint64(l.Params), locals: uint64(l.Locals), body: uint64(l.Body), tableMin: uint64(l.TableMin),
	}
}

// Kind says how a module is called.
type Kind string

// The kinds.
const (
	// Function exports ruedo_call: bytes in, bytes out.
	Function Kind = "function"
	// HTTP is a Function that also exports ruedo_http: an exchange of HTTP.
	HTTP Kind = "http"
	// Command exports _start: input on stdin, output on stdout.
	Command Kind = "command"
)

// Info describes an admitted module.
type Info struct {
	Kind Kind
	// ABI is the version of the guest contract; 0 for a command.
	ABI int
	// Size is the size of the file in bytes.
	Size int64
	// Imports lists "module.name", sorted and without duplicates.
	Imports []string
	// Exports lists the exports of any kind, sorted.
	Exports []string
	// MemoryMin is the memory that the module starts with. MemoryMax is the
	// maximum that it declares, or 4 GiB if it declares none. Both are in bytes.
	MemoryMin, MemoryMax uint64
	// Functions and Code count the functions that the module defines and the bytes
	// of their code.
	Functions int
	Code      int64
	// Complexity is summed over all functions: locals x (blocks + 8 x loops +
	// br_table targets / 8), and a sixteenth of the depth of each block.
	Complexity int64
}

// Admit checks the structure of a module, without compiling or running it. It
// checks that the file is a complete module within the limits, that it imports
// only what the host provides and exports what its kind needs, and that its
// code can be decoded. Only operands of the wrong type are left for a compiler
// to refuse. In addition to the limits, a module has at most 10,000 sections,
// and at most 1 MiB of names of imports, exports and sections. Errors are
// [*fault.Error]. If the error has a position, the fact "offset" is where in
// the file reading stopped.
func Admit(b []byte, l Limits) (*Info, error) {
	a := &Admission{file: b, limits: l.WithDefaults(), got: len(b)}
	return a.admit()
}

// admit checks every module, whether its file is complete or still arriving.
func (a *Admission) admit() (*Info, error) {
	b, l := a.file, a.limits
	// The first bytes say what kind of file this is.
	if !a.await(min(len(b), 512)) {
		return nil, errClosed
	}
	if err := header(b); err != nil {
		return nil, err
	}
	if size := int64(len(b)); size > l.Size {
		return nil, &fault.Error{
			Reason:  fault.WasmLimit,
			Message: fmt.Sprintf("the module is %s long, the limit is %s", text.Over(size, l.Size), text.Size(l.Size)),
			Fix:     `make it smaller, for example with -ldflags="-s -w"` + raise("size"),
		}
	}
	// The bodies of an arriving module are walked as they are read. That decides
	// nothing: errors in them are reported after all others.
	walk := &walk{limits: l, admission: a}
	m, err := read(b, l.caps(), a, walk)
	if err != nil {
		return nil, err
	}
	// Names, which errors can mention, are skipped while the file is read.
	if !a.await(len(b)) {
		return nil, errClosed
	}
	for _, check := range []func(*Module) error{shape, reserved, imports, kinds} {
		if err := check(m); err != nil {
			return nil, err
		}
	}
	mem := m.Memories[0]
	if mem.Min > uint64(l.MemoryPages) {
		return nil, &fault.Error{
			Reason: fault.WasmLimitMemory,
			Message: fmt.Sprintf("the module requires %s of memory at its start, the limit is %s",
				text.Over(mem.Min*PageSize, uint64(l.MemoryPages)*PageSize), text.Size(uint64(l.MemoryPages)*PageSize)),
			Fix: "raise the memory limit in a decorator, or build the module with less initial memory",
		}
	}
	if err := walk.rest(); err != nil {
		return nil, err
	}
	info := &Info{
		Kind:       Command,
		Size:       int64(len(b)),
		MemoryMin:  mem.Min * PageSize,
		MemoryMax:  maxPages * PageSize,
		Functions:  len(m.Functions),
		Complexity: int64(walk.complexity),
	}
	if mem.HasMax {
		info.MemoryMax = mem.Max * PageSize
	}
	if m.Export(abi.ExportCall) != nil {
		info.Kind, info.ABI = Function, abi.Version
		if m.Export(abi.MarkerHTTP) != nil {
			info.Kind = HTTP
		}
	}
	for _, im := range m.Imports {
		info.Imports = append(info.Imports, im.Module+"."+im.Name)
	}
	for _, x := range m.Exports {
		info.Exports = append(info.Exports, x.Name)
	}
	for _, body := range m.Bodies {
		info.Code += int64(body.Size)
	}
	slices.Sort(info.Imports)
	info.Imports = slices.Compact(info.Imports)
	slices.Sort(info.Exports)
	return info, nil
}

// shape refuses whole features that the sandbox does not support.
func shape(m *Module) error {
	for _, im := range m.Imports {
		if im.Kind != ExternFunc {
			return &fault.Error{
				Reason:  fault.WasmUnsupported,
				Message: fmt.Sprintf("the module imports a %s: %s from %s; only functions can be imported", im.Kind, printable(im.Name), printable(im.Module)),
				Fix:     "let the module define its own memory, table and globals (for example without --import-memory)",
			}
		}
	}
	if n := len(m.Memories); n > 1 {
		return unsupported(-1, "the module defines %d memories; one is supported", n)
	}
	for _, mem := range m.Memories {
		if mem.Shared {
			return unsupported(-1, "the module has a shared memory: threads are not supported")
		}
		if mem.Is64 {
			return unsupported(-1, "the module has a 64-bit memory; 32-bit memories are supported")
		}
	}
	return nil
}

// kinds checks the exports that a call needs, and their signatures.
func kinds(m *Module) error {
	call, start := m.Export(abi.ExportCall), m.Export(abi.ExportStart)
	if call == nil && start == nil {
		msg := "the module exports neither " + abi.ExportCall + " (a function) nor " + abi.ExportStart + " (a command)"
		if len(m.Exports) == 0 {
			msg += "; it exports nothing at all"
		}
		return missing(msg)
	}
	if x := m.Export(abi.ExportMemory); x == nil || x.Kind != ExternMemory {
		return missing("the module does not export its memory as " + strconv.Quote(abi.ExportMemory))
	}
	nothing := FuncType{}
	if call != nil && start != nil {
		// Built as a program: only _start can initialize it, and _start would also
		// run main and exit before the first call.
		return missing("the module exports " + abi.ExportCall + " (a function) and " + abi.ExportStart + " (a command); it can only be one of them")
	}
	if call == nil {
		return signature(m, abi.ExportStart, nothing)
	}
	if err := marker(m); err != nil {
		return err
	}
	if err := signature(m, abi.ExportCall, FuncType{Results: []ValType{I32}}); err != nil {
		return err
	}
	for _, name := range []string{abi.ExportInitialize, abi.ExportWarm, abi.MarkerHTTP} {
		if m.Export(name) == nil {
			continue
		}
		if err := signature(m, name, nothing); err != nil {
			return err
		}
	}
	return nil
}

func missing(msg string) error {
	return &fault.Error{
		Reason:  fault.ExportsMissing,
		Message: msg,
		Fix: "a function: `GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared` with the SDK; a command: the same without -buildmode; " +
			"other languages: see docs/abi.md",
	}
}

func signature(m *Module, name string, want FuncType) error {
	x := m.Export(name)
	if x.Kind != ExternFunc {
		return missing(fmt.Sprintf("the module exports %s as a %s; it must be a function", name, x.Kind))
	}
	if t, _ := m.FuncType(x.Index); !same(t, want) {
		return missing(fmt.Sprintf("the module exports %s with the signature %s; it must be %s", name, t, want))
	}
	return nil
}

func same(a, b FuncType) bool {
	return slices.Equal(a.Params, b.Params) && slices.Equal(a.Results, b.Results)
}

// marker checks that a function declares this version of the contract.
func marker(m *Module) error {
	var found []string
	for _, x := range m.Exports {
		if !strings.HasPrefix(x.Name, abi.MarkerPrefix) {
			continue
		}
		if x.Name == abi.Marker && x.Kind == ExternFunc {
			return nil
		}
		if len(found) < 5 {
			found = append(found, printable(x.Name))
		}
	}
	e := &fault.Error{Reason: fault.ABIMismatch}
	if len(found) == 0 {
		e.Message = fmt.Sprintf("the module exports %s but not %s, so it does not say which guest contract it is written for; this host speaks %d",
			abi.ExportCall, abi.Marker, abi.Version)
		e.Fix = "build with the SDK, or export an empty function named " + abi.Marker
		return e
	}
	e.Message = fmt.Sprintf("the module is written for another guest contract: it exports %s, this host speaks %d (%s)",
		strings.Join(found, ", "), abi.Version, abi.Marker)
	e.Fix = fmt.Sprintf("build with an SDK of contract %d, or update the cluster", abi.Version)
	return e
}
