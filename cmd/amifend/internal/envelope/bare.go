package envelope

import (
	"reflect"
	"strings"
)

// quotedTag marks a field of the API whose text is quoted by [ami.Quote]: `text:"quoted"`.
const quotedTag = "quoted"

// bare takes the quotation marks off all fields of data that are marked by the tag. The escapes
// stay, so no byte of an attacker gets through that the API does not let through.
func bare(data any) any {
	v := reflect.ValueOf(data)
	if !v.IsValid() {
		return nil
	}

	// Only a value that has an address can be changed.
	whole := reflect.New(v.Type()).Elem()
	whole.Set(v)
	strip(whole)
	return whole.Interface()
}

// strip changes v, and whatever it refers to.
func strip(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			strip(v.Elem())
		}
	case reflect.Interface:
		// What an interface holds has no address, unless it is a pointer.
		if !v.IsNil() && v.CanSet() {
			v.Set(reflect.ValueOf(bare(v.Interface())))
		}
	case reflect.Slice, reflect.Array:
		// Raw JSON, for example, can be long, and bytes have no fields.
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		for i := range v.Len() {
			strip(v.Index(i))
		}
	case reflect.Struct:
		for field, value := range v.Fields() {
			switch {
			case !value.CanSet(): // not exported, so not in the JSON either
			case field.Tag.Get("text") == quotedTag:
				value.SetString(unquote(value.String()))
			default:
				strip(value)
			}
		}
	default: // has no fields
	}
}

// unquote returns a text of [ami.Quote] without its quotation marks. What is not quoted stays.
func unquote(s string) string {
	inner, ok := strings.CutPrefix(s, `"`)
	if !ok {
		return s
	}

	// Behind the last mark stands how many bytes are left out, if any are.
	end := strings.LastIndexByte(inner, '"')
	if end < 0 {
		return s
	}
	return inner[:end] + inner[end+1:]
}
