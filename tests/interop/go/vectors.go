// A client of another language, for the tests: PROGRAM vectors FOLDER, or PROGRAM sign-in --relay URL ...
// vectors: checks tests/vectors/*.json with go-jose and with nothing of the project's C code.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
)

var passed, failed int

func check(name, expected string, f func()) {
	said := "accepted"
	if refused := try(f); refused != nil {
		said = refused.What
	}
	if said == expected {
		passed++
		return
	}
	failed++
	fmt.Printf("%s: expected %s, got %s\n", name, expected, said)
}

func read(folder, name string) object {
	text, err := os.ReadFile(filepath.Join(folder, name+".json"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return parseObject(text)
}

func list(o object, name string) []object {
	var found []object
	for _, v := range o[name].([]any) {
		found = append(found, v.(object))
	}
	return found
}

// own is what a case says itself, or the usual.
func own[T any](c, usual object, name string) T {
	if v, there := c[name]; there {
		return v.(T)
	}
	return usual[name].(T)
}

type vectors struct{ keys, roster, statements, verdicts, negative object }

func (v vectors) key(name string) publicKey {
	jwk := v.keys["keys"].(object)[name].(object)["jwk"].(object)
	return newKey(object{"kty": jwk["kty"], "crv": jwk["crv"], "x": jwk["x"], "y": jwk["y"]})
}

func (v vectors) rosters() (trusted roster) {
	usual := v.roster["with"].(object)
	expected := func(c object) expectations {
		return expectations{own[string](c, usual, "pin"), own[string](c, usual, "tenant"), own[int64](c, usual, "now"),
			own[int64](c, usual, "min_seq"), false}
	}
	check("roster", "accepted", func() { trusted = verifyRoster(v.roster["jws"], expected(object{})) })
	for _, c := range list(v.negative, "rosters") {
		check("wrong roster "+c["name"].(string), c["expect"].(string), func() { verifyRoster(c["text"], expected(c)) })
	}
	return trusted
}

func (v vectors) statementCases(trusted roster) {
	usual := v.statements["with"].(object)
	for _, s := range append(list(v.statements, "statements"), v.statements["signing"].(object)) {
		check("statement", "accepted", func() { verifyStatement(s["jws"], trusted, usual["now"].(int64)) })
	}
	for _, c := range list(v.negative, "statements") {
		check("wrong statement "+c["name"].(string), c["expect"].(string),
			func() { verifyStatement(c["text"], trusted, own[int64](c, usual, "now")) })
	}
}

func (v vectors) keysCases() {
	usual := v.roster["with"].(object)
	e := expectations{usual["pin"].(string), usual["tenant"].(string), v.statements["with"].(object)["now"].(int64), 0, false}
	open := func(name string, base *directory) directory {
		return openDirectory([]byte(v.statements[name].(string)), e, base)
	}
	var base, later directory
	check("keys", "accepted", func() { base = open("keys_answer", nil) })
	check("what changed of the keys", "accepted", func() {
		later = open("keys_change", &base)
		for kid, s := range later.statements {
			if len(base.statements) != 2 || len(later.statements) != 1 || s.text != v.statements["signing"].(object)["jws"] ||
				base.ready[kid] != 64 || later.ready[kid] != 16 {
				refuse("keys", "another directory")
			}
		}
	})
	check("a change of nothing", "malformed", func() { open("keys_change", nil) })
	check("a change of something else", "malformed", func() { open("keys_change", &later) })
}

func (v vectors) asked(trusted roster, c object) asked {
	usual := v.verdicts["with"].(object)
	sign := c["sign"]
	a := asked{id: usual["id"].(string), req: usual["req"].(string), service: usual["service"].(string), tenant: usual["tenant"].(string),
		rk: fromB64u(usual["rk"], 32), padded: int(own[int64](c, usual, "padded")),
		domain: domain{name: usual["domain"].(string), sid: own[string](c, usual, "domain_sid")}}
	for _, sid := range usual["other_sids"].([]any) {
		a.otherSids = append(a.otherSids, sid.(string))
	}
	for n, sealed := range list(usual, "sealed_to") {
		to := recipient{member: trusted.connectors[sealed["kid"].(string)]}
		if s, there := sign.(object); there && n == 0 {
			to.sign = []timedKey{{v.key(s["key"].(string)), s["nbf"].(int64), s["exp"].(int64)}}
		}
		a.to = append(a.to, to)
	}
	return a
}

func (v vectors) verdictCases(trusted roster) {
	usual := v.verdicts["with"].(object)
	for _, c := range append(list(v.verdicts, "verdicts"), v.verdicts["signing"].(object)) {
		check("verdict", "accepted", func() {
			found := checkVerdict(v.asked(trusted, c), c["jwe"].(string), usual["now"].(int64))
			if !reflect.DeepEqual(found, parseObject([]byte(c["claims"].(string)))) {
				refuse("other", "not the claims of the vector")
			}
		})
	}
	for _, c := range list(v.negative, "verdicts") {
		refused := try(func() { checkVerdict(v.asked(trusted, c), c["text"].(string), own[int64](c, usual, "now")) })
		check("wrong verdict "+c["name"].(string), c["expect"].(string), func() {
			if refused != nil {
				refuse("unavailable", "%s", refused.Text)
			}
		})
	}
}

func main() {
	switch {
	case len(os.Args) > 2 && os.Args[1] == "sign-in":
		os.Exit(runSignIn(os.Args[2:]))
	case len(os.Args) == 3 && os.Args[1] == "vectors":
		os.Exit(runVectors(os.Args[2]))
	}
	fmt.Fprintln(os.Stderr, "usage: vectors FOLDER | sign-in OPTION...")
	os.Exit(2)
}

func runVectors(folder string) int {
	v := vectors{read(folder, "keys"), read(folder, "roster"), read(folder, "statements"), read(folder, "verdicts"), read(folder, "negative")}
	for name, entry := range v.keys["keys"].(object) {
		check("key "+name, "accepted", func() {
			if v.key(name).kid != entry.(object)["kid"] {
				refuse("kid", "another thumbprint")
			}
		})
	}
	trusted := v.rosters()
	v.statementCases(trusted)
	v.keysCases()
	v.verdictCases(trusted)
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 || passed < 250 {
		return 1
	}
	return 0
}
