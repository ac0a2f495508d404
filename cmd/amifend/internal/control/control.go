// Package control is how a running daemon is asked and told: HTTP and JSON on a unix socket, and
// the client that the commands use.
//
// It promises that nobody gets more than his right. The kernel says who has connected (SO_PEERCRED,
// SO_PEERGROUPS): reading takes root or a group's right, changing takes root or another group's.
// Every request is bounded in size and in time, so is what waits for a client that does not read,
// and no client can hold up the daemon. There is no TCP. No answer holds a secret, and an
// attacker's bytes are in it only as [ami.Quote] prints them.
//
// # Requests, version 1
//
// [Routes] lists them; docs/api.md, which is made of it, describes them and all types.
//
// A request that failed is answered with {"error": [Error]}. Fields may be added to answers; a
// change that breaks a client gets another version. Times are RFC 3339, and what is called _seconds
// is a number of seconds.
package control

import (
	"errors"
	"fmt"
	"net/http"
)

// Codes of errors: a closed list, an API.
const (
	CodeBadRequest = "bad_request" // the request makes no sense
	CodeForbidden  = "forbidden"   // the caller lacks the right
	// no such request: client and daemon are of different versions
	CodeUnknown       = "unknown"
	CodeNotBanned     = "not_banned"     // there is nothing to lift
	CodeNotAllowed    = "not_allowed"    // there is no such entry to take out
	CodeProtected     = "protected"      // it must never be banned
	CodeInvalidConfig = "invalid_config" // the config file is not valid: nothing was changed
	CodeNoTrial       = "no_trial"       // there is no trial whose bans could be kept
	CodeBusy          = "busy"           // the daemon did not answer in time, or serves too many
	CodeFailed        = "failed"         // it was tried and did not work
	CodeNotRunning    = "not_running"    // of the client: nobody serves the socket
)

// Error is why a request failed, and what to do about it.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Do      string `json:"do,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// Errorf returns an Error without advice.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Advise returns e with what to do.
func (e *Error) Advise(format string, args ...any) *Error {
	e.Do = fmt.Sprintf(format, args...)
	return e
}

// CodeOf returns the code of an error that the daemon answered with, "" for any other.
func CodeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// statuses are the HTTP statuses of codes.
var statuses = map[string]int{
	CodeBadRequest: http.StatusBadRequest, CodeForbidden: http.StatusForbidden,
	CodeUnknown:   http.StatusNotFound,
	CodeNotBanned: http.StatusNotFound, CodeNotAllowed: http.StatusNotFound,
	CodeNoTrial: http.StatusConflict, CodeProtected: http.StatusConflict,
	CodeInvalidConfig: http.StatusUnprocessableEntity, CodeBusy: http.StatusServiceUnavailable,
	CodeFailed: http.StatusInternalServerError,
}

// asError makes an Error of any error.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Errorf(CodeFailed, "%s", err)
}
