package value

import (
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// JSON returns the JSON of an encoded google.protobuf.Value. ErrTooLong if it
// has more than limit bytes.
func JSON(value []byte, limit uint64) ([]byte, error) {
	w := &jsonWriter{limit: limit, text: make([]byte, 0, min(len(value), int(min(limit, math.MaxInt32))))}
	if err := w.value(value, 0); err != nil {
		return nil, err
	}
	return w.text, nil
}

type jsonWriter struct {
	text  []byte
	limit uint64
}

// value writes one value. If it has several kinds, the last one counts, as in
// every oneof.
func (w *jsonWriter) value(b []byte, depth int) error {
	if depth > maxDepth {
		return ErrDepth
	}
	if uint64(len(w.text)) > w.limit {
		return ErrTooLong
	}
	kind, body, number := valueNull, []byte(nil), uint64(0)
	err := Fields(b, func(n protowire.Number, t protowire.Type, bytes []byte, v uint64) error {
		if n < valueNull || n > valueList {
			return nil
		}
		want := protowire.BytesType
		switch n {
		case valueNull, valueBool:
			want = protowire.VarintType
		case valueNumber:
			want = protowire.Fixed64Type
		}
		if t == want {
			kind, body, number = n, bytes, v
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch kind {
	case valueNumber:
		return w.number(math.Float64frombits(number))
	case valueString:
		return w.string(body)
	case valueBool:
		w.text = strconv.AppendBool(w.text, number != 0)
	case valueStruct:
		return w.object(body, depth)
	case valueList:
		return w.list(body, depth)
	default:
		w.text = append(w.text, "null"...)
	}
	return nil
}

func (w *jsonWriter) number(f float64) error {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return ErrNumber
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e' // as encoding/json does
	}
	w.text = strconv.AppendFloat(w.text, f, format, -1, 64)
	return nil
}

func (w *jsonWriter) string(s []byte) error {
	if uint64(len(w.text)+len(s)) > w.limit {
		return ErrTooLong
	}
	text, err := AppendString(w.text, s)
	w.text = text
	return err
}

// AppendString appends a string of JSON. Where it fails, b is as it was.
func AppendString[T string | []byte](b []byte, s T) ([]byte, error) {
	if Verbatim(s) {
		return append(append(append(b, '"'), s...), '"'), nil
	}
	if !utf8.ValidString(string(s)) {
		return b, ErrUTF8
	}
	text, err := json.Marshal(string(s))
	return append(b, text...), err
}

// Verbatim reports whether a text stands in a string of JSON as it is.
func Verbatim[T string | []byte](s T) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func (w *jsonWriter) object(b []byte, depth int) error {
	w.text = append(w.text, '{')
	first := true
	err := messages(b, structField, func(entry []byte) error {
		var key, value []byte
		err := Fields(entry, func(n protowire.Number, t protowire.Type, bytes []byte, _ uint64) error {
			switch {
			case t != protowire.BytesType:
			case n == entryKey:
				key = bytes
			case n == entryValue:
				value = bytes
			}
			return nil
		})
		if err != nil {
			return err
		}
		w.comma(&first)
		if err := w.string(key); err != nil {
			return err
		}
		w.text = append(w.text, ':')
		return w.value(value, depth+1)
	})
	w.text = append(w.text, '}')
	return err
}

func (w *jsonWriter) list(b []byte, depth int) error {
	w.text = append(w.text, '[')
	first := true
	err := messages(b, listItem, func(item []byte) error {
		w.comma(&first)
		return w.value(item, depth+1)
	})
	w.text = append(w.text, ']')
	return err
}

func (w *jsonWriter) comma(first *bool) {
	if !*first {
		w.text = append(w.text, ',')
	}
	*first = false
}
