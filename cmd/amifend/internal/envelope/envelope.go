// Package envelope writes the results of commands as JSON. All commands write the same object,
// whatever they do and whether they fail:
//
//	{"data": …, "warnings": [], "error": null}
//
// data is the result, null if there is none. warnings are sentences for people. error is null, or
// an object with the code and the message. A command that follows something writes one such object
// a line. The API at the control socket has a form of its own, see package control.
package envelope

import (
	"encoding/json"
	"errors"
	"io"

	"github.com/amifend/amifend/cmd/amifend/internal/config"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// Envelope is the result of a command.
type Envelope struct {
	// Data is the result. After an error it is nil, or what was done in spite of it.
	Data any `json:"data"`
	// Warnings are what a person should know although the command did its work.
	Warnings []string `json:"warnings"`
	// Error is why the command failed. Its codes are those of package control.
	Error *control.Error `json:"error"`
}

// New returns the envelope of data. Empty warnings are left out. Texts of data that the API quotes
// lose these quotation marks, since JSON has its own: New changes what data refers to.
func New(data any, warnings ...string) Envelope {
	e := Envelope{Data: bare(data), Warnings: []string{}}
	for _, w := range warnings {
		if w != "" {
			e.Warnings = append(e.Warnings, w)
		}
	}
	return e
}

// Failed returns e with an error. Without one, e stays as it is.
func (e Envelope) Failed(err error) Envelope {
	e.Error = errorOf(err)
	return e
}

// Write writes e for programs and people: one object on several lines.
func (e Envelope) Write(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(e)
}

// WriteLine writes e in one line, as an item of a list without an end.
func (e Envelope) WriteLine(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(e)
}

// errorOf returns err with a code, its text and its advice; nil for nil.
func errorOf(err error) *control.Error {
	if err == nil {
		return nil
	}

	// The outer error may say more than the one that has the code.
	out := &control.Error{Code: control.CodeFailed, Message: err.Error()}
	if e, ok := errors.AsType[*control.Error](err); ok {
		out.Code, out.Do = e.Code, e.Do
	}
	if _, ok := errors.AsType[*config.Error](err); ok {
		out.Code = control.CodeInvalidConfig
	}
	return out
}
