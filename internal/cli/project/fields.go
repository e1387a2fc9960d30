package project

import (
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/limits"
)

// Fields returns what a document of a decorator says, by the keys of the
// document.
func Fields(d *ruedov1.Decorator) map[string]any {
	set := map[string]any{}
	for _, row := range limits.Table() {
		if v := row.Get(d.GetLimits()); v != 0 {
			set[row.Name] = row.Value(v)
		}
	}
	var tags []any
	for _, tag := range d.GetTags() {
		tags = append(tags, tag)
	}
	fields := map[string]any{"description": d.GetDescription(), "tags": tags, "limits": set}
	if d.GetInputSchema() != nil {
		fields["input_schema"] = d.GetInputSchema().AsMap()
	}
	if policy := policyFields(d.GetPolicy()); len(policy) > 0 {
		fields["policy"] = policy
	}
	if egress := d.GetGrants().GetEgress(); len(egress) > 0 {
		var rules []any
		for _, rule := range egress {
			rules = append(rules, rule)
		}
		fields["grants"] = map[string]any{"egress": rules}
	}
	return fields
}
