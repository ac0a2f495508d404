package envelope

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/amifend/amifend/ami"
	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

func line(t *testing.T, e Envelope) string {
	t.Helper()
	var b strings.Builder
	if err := e.WriteLine(&b); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func TestForm(t *testing.T) {
	busy := control.Errorf(control.CodeBusy, "the daemon is <busy>").Advise("try again")
	for want, e := range map[string]Envelope{
		`{"data":null,"warnings":[],"error":null}`:       New(nil),
		`{"data":[1],"warnings":["look"],"error":null}`:  New([]int{1}, "", "look"),
		`{"data":{"a":true},"warnings":[],"error":null}`: New(map[string]bool{"a": true}),
		`{"data":null,"warnings":[],"error":{"code":"failed",` + `"message":"open x"}}`: New(nil).
			Failed(errors.New("open x")),
		`{"data":null,"warnings":[],"error":{"code":"busy","message":"ask: the daemon is <busy>",` +
			`"do":"try again"}}`: New(nil).Failed(fmt.Errorf("ask: %w", busy)),
		`{"data":null,"warnings":[],"error":{"code":"invalid_config","message":"c.toml: bad"}}`: New(
			nil).Failed(&config.Error{File: "c.toml", Problems: []config.Problem{{Text: "bad"}}}),
	} {
		if got := line(t, e); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestOnce: a text that the API quotes has the quotation marks of JSON only, however deep it is.
// Its escapes stay.
func TestOnce(t *testing.T) {
	hostile := ami.Quote([]byte("\x1b[2J\"\\ \u202e" + strings.Repeat("a", 100)))
	alert := control.Alert{Account: ami.Quote([]byte("1001")), Reason: `account "1001"`}
	report := control.Report{
		Alerts: []control.Alert{alert}, Accounts: []control.Sum{{Name: hostile}},
		Sources:    []control.Sum{{Name: "203.0.113.7"}},
		Operations: []control.Operation{{Reason: `"calls \"Cuba\""`}},
	}

	// The report is behind a pointer in a struct that another package embeds.
	var got struct {
		Data struct {
			Report control.Report
		}
	}
	text := line(t, New(struct{ Report *control.Report }{&report}))
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}

	r := got.Data.Report
	if r.Alerts[0].Account != "1001" || r.Alerts[0].Reason != `account "1001"` ||
		r.Sources[0].Name != "203.0.113.7" || r.Operations[0].Reason != `calls \"Cuba\"` {
		t.Errorf("%+v", r)
	}
	want := `\x1b[2J\"\\ \xe2\x80\xae` + strings.Repeat("a", 64-10) + `...(+46 bytes)`
	if r.Accounts[0].Name != want {
		t.Errorf("%s, want %s", r.Accounts[0].Name, want)
	}
}

// TestTagged: each field of the API that its comment calls quoted has the tag. Those that are named
// here are all: a field is looked for by the name that such fields have.
func TestTagged(t *testing.T) {
	for _, v := range []any{
		control.Event{},
		control.Alert{},
		control.IgnoredAlert{},
		control.Sum{},
		control.Operation{},
		control.Allowed{},
	} {
		typ := reflect.TypeOf(v)
		tagged := false
		for field := range typ.Fields() {
			is := field.Tag.Get("text") == quotedTag
			tagged = tagged || is
			if (field.Name == "Account" || field.Name == "Session") && !is {
				t.Errorf("%s.%s is not tagged", typ, field.Name)
			}
		}
		if !tagged {
			t.Errorf("no field of %s is tagged", typ)
		}
	}
}
