// The text forms of PROTOCOL.md, section 2, read strictly: encoding/json takes duplicate members, bad UTF-8 and lone surrogates.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"unicode/utf8"
)

// Refused is how a check fails; What is the word that a vector or a caller knows it by.
type Refused struct{ What, Text string }

func (r Refused) Error() string { return r.Text }

func refuse(what, format string, args ...any) { panic(Refused{what, fmt.Sprintf(format, args...)}) }
func malformed(format string, args ...any)    { refuse("malformed", format, args...) }

// try runs f; what it refused, or nil.
func try(f func()) (refused *Refused) {
	defer func() {
		if found := recover(); found != nil {
			r, ok := found.(Refused)
			if !ok {
				panic(found)
			}
			refused = &r
		}
	}()
	f()
	return nil
}

type object = map[string]any

var (
	wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	escape      = regexp.MustCompile(`\\(u([0-9a-fA-F]{4})|.)`)
)

// value reads one JSON value from the decoder's tokens, so that a member that is repeated is seen.
func value(d *json.Decoder, depth int) any {
	if depth > 32 {
		malformed("JSON: nested too deeply")
	}
	token, err := d.Token()
	if err != nil {
		malformed("JSON: %v", err)
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '[' {
			list := []any{}
			for d.More() {
				list = append(list, value(d, depth+1))
			}
			end(d)
			return list
		}
		found := object{}
		for d.More() {
			name := value(d, depth+1).(string)
			if _, twice := found[name]; twice {
				malformed("JSON: a member is repeated")
			}
			found[name] = value(d, depth+1)
		}
		end(d)
		return found
	case json.Number:
		if !wholeNumber.MatchString(t.String()) {
			malformed("JSON: a number that is no integer")
		}
		n, err := strconv.ParseInt(t.String(), 10, 64)
		if err != nil || n > 1<<53-1 || n < -(1<<53-1) {
			malformed("JSON: an integer out of range")
		}
		return n
	}
	return token
}

func end(d *json.Decoder) {
	if _, err := d.Token(); err != nil {
		malformed("JSON: %v", err)
	}
}

// loneSurrogate looks at the escapes of the text, which the decoder replaces without a word.
func loneSurrogate(text []byte) bool {
	high := -1
	for _, at := range escape.FindAllSubmatchIndex(text, -1) {
		var unit uint64
		if at[4] >= 0 {
			unit, _ = strconv.ParseUint(string(text[at[4]:at[5]]), 16, 16)
		}
		low := unit >= 0xdc00 && unit < 0xe000
		if low != (high == at[0]) || (high >= 0 && high != at[0]) {
			return true
		}
		high = -1
		if unit >= 0xd800 && unit < 0xdc00 {
			high = at[1]
		}
	}
	return high >= 0
}

func holdsNul(v any) bool {
	switch t := v.(type) {
	case string:
		return bytes.IndexByte([]byte(t), 0) >= 0
	case []any:
		for _, inner := range t {
			if holdsNul(inner) {
				return true
			}
		}
	case object:
		for name, inner := range t {
			if holdsNul(name) || holdsNul(inner) {
				return true
			}
		}
	}
	return false
}

// parseObject reads exactly one JSON object without NUL in any string.
func parseObject(text []byte) object {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if !utf8.Valid(text) || loneSurrogate(text) {
		malformed("JSON: not UTF-8")
	}
	found, ok := value(d, 0).(object)
	if _, err := d.Token(); !ok || err != io.EOF || holdsNul(found) {
		malformed("JSON: not one object, or NUL in it")
	}
	return found
}

func toB64u(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// fromB64u reads base64url of n bytes (-1: any number but none).
func fromB64u(v any, n int) []byte {
	text, ok := v.(string)
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || text == "" || err != nil || toB64u(data) != text || (n >= 0 && len(data) != n) {
		malformed("not base64url of the right length")
	}
	return data
}

// members wants exactly these members, and perhaps those of optional.
func members(v any, required []string, optional ...string) object {
	found, ok := v.(object)
	if !ok {
		malformed("not an object")
	}
	known := map[string]bool{}
	for _, name := range required {
		if _, there := found[name]; !there {
			malformed("member %s is missing", name)
		}
		known[name] = true
	}
	for _, name := range optional {
		known[name] = true
	}
	for name := range found {
		if !known[name] {
			malformed("a member that is not listed")
		}
	}
	return found
}

func integer(v any, least, most int64) int64 {
	n, ok := v.(int64)
	if !ok || n < least || n > most {
		malformed("not an integer in its range")
	}
	return n
}

func seconds(v any) int64 { return integer(v, 0, 1<<53-1) }

// str wants a string of least to most bytes, wholly of the pattern (nil: any).
func str(v any, least, most int, pattern *regexp.Regexp) string {
	text, ok := v.(string)
	if !ok || len(text) < least || len(text) > most || (pattern != nil && !pattern.MatchString(text)) {
		malformed("not a string within its limits")
	}
	return text
}

func array(v any, least, most int) []any {
	list, ok := v.([]any)
	if !ok || len(list) < least || len(list) > most {
		malformed("not an array within its limits")
	}
	return list
}

func word(v any, words ...string) string {
	text, _ := v.(string)
	for _, w := range words {
		if text == w {
			return text
		}
	}
	malformed("a word that is not listed")
	return ""
}

var (
	idForm     = regexp.MustCompile(`^[A-Za-z0-9-]{16,64}$`)
	tenantForm = regexp.MustCompile(`^[a-z0-9-]+$`)
)

func identifier(v any) string { return str(v, 16, 64, idForm) }
func tenantName(v any) string { return str(v, 1, 64, tenantForm) }
func keyID(v any) string      { return toB64u(fromB64u(v, 32)) }
