// Package control is the daemon's API, HTTP and JSON on a unix socket, and the client that the
// commands use.
//
// Nobody gets more than their right. The kernel names the peer of a connection (SO_PEERCRED,
// SO_PEERGROUPS): reading takes root or membership in a group, changing takes root or another
// group. Each request is bounded in size and in time, and so is the data that waits for a client
// that does not read; no client can hold up the daemon. There is no TCP. No answer holds a secret,
// and an attacker's bytes appear in answers only as [ami.Quote] prints them.
//
// # Requests, version 1
//
// [Routes] lists them; docs/api.md, which is generated from it, describes them and all types.
//
// The answer to a failed request is {"error": [Error]}. Fields may be added to answers; a change
// that breaks a client gets a new version. Times are RFC 3339, and a name that ends in _seconds
// holds a number of seconds.
package control

import (
	"errors"
	"fmt"
	"net/http"
)

// The codes of errors. The list is closed, and part of the API.
const (
	CodeBadRequest = "bad_request" // the request is not valid
	CodeForbidden  = "forbidden"   // the caller lacks the right
	// no such request: client and daemon are of different versions
	CodeUnknown       = "unknown"
	CodeNotBanned     = "not_banned"      // there is nothing to lift
	CodeNotAllowed    = "not_allowed"     // there is no such entry to take out
	CodeNothing       = "nothing_to_undo" // the caller's last command of the hour is not known
	CodeNoAlert       = "no_alert"        // there is no such alert, or none that is ignored
	CodeProtected     = "protected"       // the source must never be banned
	CodeInvalidConfig = "invalid_config"  // the config file is not valid: nothing was changed
	CodeNoTrial       = "no_trial"        // there is no trial whose bans could be kept
	CodeBusy          = "busy"            // the daemon did not answer in time, or serves too many
	CodeFailed        = "failed"          // the attempt failed
	CodeNotRunning    = "not_running"     // from the client: no daemon serves the socket
)

// Error is the reason why a request failed, and what to do about it.
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

// Advise sets the advice of e and returns e.
func (e *Error) Advise(format string, args ...any) *Error {
	e.Do = fmt.Sprintf(format, args...)
	return e
}

// CodeOf returns the code of an error that the daemon answered, or "".
func CodeOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// statuses maps codes to HTTP statuses.
var statuses = map[string]int{
	CodeBadRequest: http.StatusBadRequest, CodeForbidden: http.StatusForbidden,
	CodeUnknown:   http.StatusNotFound,
	CodeNotBanned: http.StatusNotFound, CodeNotAllowed: http.StatusNotFound,
	CodeNoAlert: http.StatusNotFound, CodeNothing: http.StatusNotFound,
	CodeNoTrial: http.StatusConflict, CodeProtected: http.StatusConflict,
	CodeInvalidConfig: http.StatusUnprocessableEntity, CodeBusy: http.StatusServiceUnavailable,
	CodeFailed: http.StatusInternalServerError,
}

// asError returns err as an Error.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return Errorf(CodeFailed, "%s", err)
}
