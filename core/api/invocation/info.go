package invocation

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ruedo-dev/ruedo/core/api/value"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// infoSize is about how long a CallInfo without logs is.
const infoSize = 320

// appendInfo appends a CallInfo as protojson writes it. That would cost a call more than
// the rest of its answer.
func appendInfo(b []byte, info *ruedov1.CallInfo) ([]byte, error) {
	f := fieldWriter{b: append(b, '{'), begin: len(b) + 1}
	f.text("callId", info.GetCallId())
	f.text("runner", info.GetRunner())
	f.count("revision", info.GetRevision())
	f.duration("duration", info.GetDuration())
	f.count("memoryBytes", info.GetMemoryBytes())
	if logs := info.GetLogs(); len(logs) > 0 {
		f.name("logs")
		f.b = append(base64.StdEncoding.AppendEncode(append(f.b, '"'), logs), '"')
	}
	f.count("logsDropped", info.GetLogsDropped())
	if code := info.GetExitCode(); code != 0 {
		f.name("exitCode")
		f.b = strconv.AppendInt(f.b, int64(code), 10)
	}
	f.duration("cpuTime", info.GetCpuTime())
	f.count("fuel", info.GetFuel())
	if info.GetCold() {
		f.name("cold")
		f.b = append(f.b, "true"...)
	}
	f.duration("restoreTime", info.GetRestoreTime())
	f.text("trace", info.GetTrace())
	if e := info.GetEgress(); e != nil {
		text, err := protojson.Marshal(e)
		if err != nil {
			return b, err
		}
		f.name("egress")
		f.b = append(f.b, text...)
	}
	return append(f.b, '}'), f.err
}

// fieldWriter writes the fields of an object. Those without a value are left out.
type fieldWriter struct {
	b     []byte
	begin int
	err   error
}

func (f *fieldWriter) name(name string) {
	if len(f.b) > f.begin {
		f.b = append(f.b, ',')
	}
	f.b = append(append(append(f.b, '"'), name...), `":`...)
}

func (f *fieldWriter) text(name, text string) {
	if text != "" {
		f.name(name)
		var err error
		f.b, err = value.AppendString(f.b, text)
		f.err = cmp.Or(f.err, err)
	}
}

// count writes a number of 64 bits, which protobuf's JSON has as text.
func (f *fieldWriter) count(name string, n uint64) {
	if n != 0 {
		f.name(name)
		f.b = append(strconv.AppendUint(append(f.b, '"'), n, 10), '"')
	}
}

// duration writes seconds, with as many digits after the point as they need.
func (f *fieldWriter) duration(name string, d *durationpb.Duration) {
	if d == nil {
		return
	}
	f.name(name)
	f.b = append(f.b, '"')
	seconds, nanos := d.GetSeconds(), int64(d.GetNanos())
	if seconds < 0 || nanos < 0 {
		f.b, seconds, nanos = append(f.b, '-'), -seconds, -nanos
	}
	f.b = strconv.AppendInt(f.b, seconds, 10)
	if nanos > 0 {
		point := len(f.b)
		f.b = strconv.AppendInt(f.b, 1e9+nanos, 10)
		f.b[point] = '.'
		f.b = bytes.TrimRight(f.b, "0")
	}
	f.b = append(f.b, `s"`...)
}
