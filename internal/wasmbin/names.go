package wasmbin

import "fmt"

// Reader returns a reader of the section's contents in file, from which the
// module was read. It shares the file's memory. The name of a custom section is
// left out.
func (s Section) Reader(file []byte) *Reader {
	r := NewReader(file[s.Offset:s.Offset+int64(s.Size)], s.Offset)
	if s.ID == SectionCustom {
		if _, err := r.Name(); err != nil {
			return NewReader(nil, s.Offset)
		}
	}
	return r
}

// FunctionName returns the name of a function from the name section, or the
// name under which it is imported. It returns "" if there is no name, or if the
// names are damaged. It is meant for messages: each call reads all names up to
// the requested one.
func (m *Module) FunctionName(file []byte, index uint32) string {
	if name, ok := functionName(nameSection(file), index); ok {
		return name
	}
	if uint64(index) < uint64(len(m.importedFuncs)) {
		n := uint32(0)
		for _, im := range m.Imports {
			if im.Kind != ExternFunc {
				continue
			}
			if n == index {
				return im.Module + "." + im.Name
			}
			n++
		}
	}
	return ""
}

// maxNamed bounds the search in untrusted input.
const maxNamed = 10_000

// nameSection finds the custom section with human-readable names, in a file
// that may not have been read completely. It returns an empty reader if there
// is no such section, or if it is damaged.
func nameSection(file []byte) *Reader {
	r := NewReader(file, 0)
	r.pos = min(8, len(file))
	for range maxNamed {
		id, err := r.Byte()
		if err != nil {
			break
		}
		size, err := r.U32()
		if err != nil {
			break
		}
		s, err := r.Sub(uint64(size))
		if err != nil {
			break
		}
		if id != SectionCustom {
			continue
		}
		if name, err := s.Name(); err == nil && name == "name" {
			return s
		}
	}
	return NewReader(nil, 0)
}

func functionName(r *Reader, index uint32) (string, bool) {
	for range maxNamed { // kinds of names, of which only a few are known
		id, err := r.Byte()
		if err != nil {
			return "", false
		}
		size, err := r.U32()
		if err != nil {
			return "", false
		}
		sub, err := r.Sub(uint64(size))
		if err != nil {
			return "", false
		}
		if id != 1 { // the names of functions
			continue
		}
		n, err := sub.U32()
		if err != nil {
			return "", false
		}
		for range min(uint64(n), uint64(index)+1) { // sorted by index, without duplicates
			i, err := sub.U32()
			if err != nil {
				return "", false
			}
			size, err := sub.U32()
			if err != nil {
				return "", false
			}
			name, err := sub.Bytes(uint64(size))
			if err != nil {
				return "", false
			}
			if i == index {
				return string(name), true
			}
		}
	}
	return "", false
}

// describe returns a function's index and name, for messages.
func (m *Module) describe(file []byte, index uint32) string {
	if name := m.FunctionName(file, index); name != "" {
		return fmt.Sprintf("function %d (%s)", index, bare(name))
	}
	return fmt.Sprintf("function %d", index)
}
