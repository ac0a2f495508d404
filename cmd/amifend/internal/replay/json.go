package replay

import (
	"bufio"
	"io"
	"math"
	"time"

	"github.com/amifend/amifend/cmd/amifend/internal/envelope"
	"github.com/amifend/amifend/cmd/amifend/internal/recording"
	"github.com/amifend/amifend/cmd/amifend/internal/wording"
	"github.com/amifend/amifend/policy"
)

// The objects of the JSON format. Their keys and the keys' meaning are an API.

type jsonBan struct {
	Time     string  `json:"time"` // RFC 3339, UTC
	Action   string  `json:"action"`
	Prefix   string  `json:"prefix"` // masked
	Scope    string  `json:"scope"`
	Duration float64 `json:"duration_seconds"`
	Rule     string  `json:"rule"`
	Score    float64 `json:"score"`
	Attempts int     `json:"attempts"`
	Reason   string  `json:"reason"`
}

// NoteNeverBanned is the kind of a note of an address that fails and is never banned. The other
// kinds are package recording's.
const NoteNeverBanned = "never_banned"

// Note is a note in the JSON of a replay and of a report. It stands at the end. Its keys are an
// API.
type Note struct {
	Action string `json:"action"` // "note"
	Kind   string `json:"kind"`
	File   string `json:"file,omitempty"`
	Source string `json:"source,omitempty"`
	Count  uint64 `json:"count,omitempty"` // lines, failures or sources
	Reason string `json:"reason"`
	Do     string `json:"do,omitempty"`
}

// NewNote returns a note for JSON.
func NewNote(n recording.Note) Note {
	return Note{Action: "note", Kind: n.Kind, File: n.File, Count: n.Lines, Reason: n.Why, Do: n.Do}
}

type jsonUnban struct {
	Time   string `json:"time"`
	Action string `json:"action"`
	Prefix string `json:"prefix"`
	Scope  string `json:"scope"`
	Rule   string `json:"rule"`
	Reason string `json:"reason"`
}

type jsonAlert struct {
	Action string `json:"action"`
	Kind   string `json:"kind"`
	// Account is as ami.Quote prints it, without the quotes; "" if the alert is about none.
	Account string `json:"account"`
	Source  string `json:"source"` // an address, or a prefix
	Time    string `json:"time"`
}

// actionResolved is the action of the end of a condition that an alert reported.
const actionResolved = "resolved"

type jsonResolved struct {
	jsonAlert
	Lasted float64 `json:"lasted_seconds"`
	Count  int     `json:"count"` // failures
}

type jsonWriter struct {
	out     *bufio.Writer
	servers []string
	limit   float64
}

func newJSONWriter(o Options, names []string, out io.Writer) *jsonWriter {
	return &jsonWriter{
		out: bufio.NewWriter(out), servers: serverNames(names),
		limit: o.Config.Policy.Threshold,
	}
}

// item writes one object in the form of all commands.
func (w *jsonWriter) item(object any) {
	_ = envelope.New(object).WriteLine(w.out) // the buffer keeps the error for end
}

func (w *jsonWriter) decision(v policy.Verdict) {
	at := rfc3339(v.At)

	// Programs read these objects: each action has its own keys, in a fixed order.
	var object any
	switch v.Action {
	case policy.ActionBan:
		object = jsonBan{
			at, v.Action.String(), v.Prefix.Masked().String(), v.Scope.String(),
			round(v.Duration.Seconds()), v.Rule.String(), round(v.Score),
			v.Attempts, wording.Reason(v, w.limit, w.servers),
		}
	case policy.ActionUnban:
		object = jsonUnban{
			at, v.Action.String(), v.Prefix.Masked().String(), v.Scope.String(),
			v.Rule.String(), wording.Reason(v, w.limit, w.servers),
		}
	case policy.ActionAlert:
		alert := jsonAlert{
			v.Action.String(), v.Rule.String(), wording.Name(v.Account), source(v), at,
		}
		object = alert
		if v.Phase == policy.PhaseEnd {
			alert.Action = actionResolved
			object = jsonResolved{alert, round(lasted(v).Seconds()), v.Count}
		}
	case policy.ActionNone:
		return
	}

	w.item(object)
}

func (w *jsonWriter) end(s summary) error {
	for _, n := range s.notes {
		w.item(NewNote(n))
	}

	// The advice on an address that fails and is never banned is a note too.
	for _, a := range s.spared {
		w.item(Note{
			Action: "note", Kind: NoteNeverBanned, Source: a.Addr.String(), Count: a.Failures,
			Reason: "it is never banned: " + a.Why, Do: a.Do(),
		})
	}

	return w.out.Flush()
}

func rfc3339(at int64) string { return time.Unix(0, at).UTC().Format(time.RFC3339Nano) }

// round rounds to six decimals, since the last bits may differ between machines.
func round(f float64) float64 { return math.Round(f*1e6) / 1e6 }

// source returns the source of an alert: an address, or the prefix if it is not a single one.
func source(v policy.Verdict) string {
	if !v.Prefix.IsValid() {
		return "" // it is about an account or a server
	}
	if v.Prefix.IsSingleIP() {
		return v.Prefix.Addr().String()
	}
	return v.Prefix.Masked().String()
}
