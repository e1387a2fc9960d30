package input

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ruedo-dev/ruedo/internal/suggest"
)

// Unknown describes the keywords of a JSON Schema that mean nothing, one line
// for each: "input_schema.properties.name: typ is not a keyword, did you mean
// type?". A schema may have keywords of others, so they are no error; those that
// begin with x- are meant for others.
func Unknown(schema map[string]any) []string {
	var list []string
	unknown("input_schema", schema, &list)
	return list
}

// maxDepth bounds how deep Unknown looks. The core refuses schemas long before.
const maxDepth = 64

func unknown(path string, node any, list *[]string) {
	object, ok := node.(map[string]any)
	if !ok || strings.Count(path, ".") > maxDepth {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		value, below := object[name], path+"."+name
		switch keywords[name] {
		case isSchema:
			unknown(below, value, list)
			for i, item := range items(value) { // items of older drafts
				unknown(fmt.Sprintf("%s[%d]", below, i), item, list)
			}
		case isList:
			for i, item := range items(value) {
				unknown(fmt.Sprintf("%s[%d]", below, i), item, list)
			}
		case isMap:
			inner, _ := value.(map[string]any)
			for _, key := range slices.Sorted(maps.Keys(inner)) {
				unknown(below+"."+key, inner[key], list)
			}
		case "":
			if strings.HasPrefix(name, "x-") {
				continue
			}
			text := path + ": " + name + " is not a keyword of JSON Schema"
			if hint := suggest.DidYouMean(name, slices.Sorted(maps.Keys(keywords))); hint != "" {
				text += ", " + hint
			}
			*list = append(*list, text)
		}
	}
}

func items(v any) []any {
	list, _ := v.([]any)
	return list
}

// What the value of a keyword is made of.
const (
	isValue  = "value"
	isSchema = "schema"
	isList   = "schemas by index"
	isMap    = "schemas by name"
)

// keywords are those of draft 2020-12 and of the older drafts.
var keywords = map[string]string{
	"$schema": isValue, "$id": isValue, "id": isValue, "$ref": isValue, "$anchor": isValue, "$dynamicRef": isValue, "$dynamicAnchor": isValue,
	"$recursiveRef": isValue, "$recursiveAnchor": isValue, "$vocabulary": isValue, "$comment": isValue,
	"$defs": isMap, "definitions": isMap,

	"allOf": isList, "anyOf": isList, "oneOf": isList, "not": isSchema, "if": isSchema, "then": isSchema, "else": isSchema,
	"dependentSchemas": isMap, "dependencies": isMap,
	"prefixItems": isList, "items": isSchema, "additionalItems": isSchema, "contains": isSchema, "unevaluatedItems": isSchema,
	"properties": isMap, "patternProperties": isMap, "additionalProperties": isSchema, "propertyNames": isSchema, "unevaluatedProperties": isSchema,

	"type": isValue, "enum": isValue, "const": isValue, "required": isValue, "dependentRequired": isValue,
	"multipleOf": isValue, "minimum": isValue, "maximum": isValue, "exclusiveMinimum": isValue, "exclusiveMaximum": isValue,
	"minLength": isValue, "maxLength": isValue, "pattern": isValue, "format": isValue,
	"minItems": isValue, "maxItems": isValue, "uniqueItems": isValue, "minContains": isValue, "maxContains": isValue,
	"minProperties": isValue, "maxProperties": isValue,
	"contentEncoding": isValue, "contentMediaType": isValue, "contentSchema": isSchema,
	"title": isValue, "description": isValue, "default": isValue, "deprecated": isValue, "readOnly": isValue, "writeOnly": isValue,
	"example": isValue, "examples": isValue,
}
