package sandbox

import (
	"encoding/binary"
	"slices"

	"github.com/ruedo-dev/ruedo/internal/wasmbin"
)

// maxTable is how many elements a table may grow to, unless it starts with
// more. The runtime would give a guest gigabytes outside of its memory.
const maxTable = 100_000

// clampTables gives the module with a maximum on each of its tables. It takes
// an admitted module, and gives the same bytes where nothing has to change.
func clampTables(wasm []byte) []byte {
	m, err := wasmbin.Read(wasm)
	if err != nil {
		return wasm // the compiler will say what is wrong
	}
	change := false
	body := binary.AppendUvarint(nil, uint64(len(m.Tables)))
	for _, t := range m.Tables {
		limit := max(t.Min, maxTable)
		if t.HasMax {
			limit = min(limit, t.Max)
		}
		change = change || !t.HasMax || t.Max != limit
		body = append(body, byte(t.Type), 1) // 1: with a maximum
		body = binary.AppendUvarint(body, t.Min)
		body = binary.AppendUvarint(body, limit)
	}
	i := slices.IndexFunc(m.Sections, func(s wasmbin.Section) bool { return s.ID == wasmbin.SectionTable })
	if !change || i < 0 {
		return wasm
	}
	old := m.Sections[i]
	// The section's number and size stand before it, and after the section that
	// came before.
	begin := int64(8)
	if i > 0 {
		begin = m.Sections[i-1].Offset + int64(m.Sections[i-1].Size)
	}
	head := binary.AppendUvarint([]byte{wasmbin.SectionTable}, uint64(len(body)))
	return slices.Concat(wasm[:begin], head, body, wasm[old.Offset+int64(old.Size):])
}
