package limits

import (
	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/proto"
)

// Range returns the least and the greatest value that the limit can have, as the
// rules of its field in the proto file say. Every limit can also be unset.
func (r Row) Range() (low, high uint64) {
	rules, _ := proto.GetExtension(r.field().Options(), validate.E_Field).(*validate.FieldRules)
	switch {
	case rules.GetDuration() != nil:
		return nanos(rules.GetDuration().GetGte()), nanos(rules.GetDuration().GetLte())
	case rules.GetUint32() != nil:
		return uint64(rules.GetUint32().GetGte()), uint64(rules.GetUint32().GetLte())
	}
	return rules.GetUint64().GetGte(), rules.GetUint64().GetLte()
}

// Expected describes the values that the limit can have, for errors: "between
// 64 KiB and 4 GiB" or "at most 64 MiB (kind http: any, or none)".
func (r Row) Expected() string {
	low, high := r.Range()
	format, more := r.Unit.Format, ""
	switch {
	case r.None:
		high, more = r.Most, " (kind http: any, or none)"
	case r.Most != 0:
		high, more = r.Most, " (kind http: up to "+format(high)+")"
	}
	if low == 0 {
		return "at most " + format(high) + more
	}
	return "between " + format(low) + " and " + format(high) + more
}
