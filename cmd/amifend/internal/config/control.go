package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"

	"github.com/BurntSushi/toml"
)

// Control names the control socket and the groups that may use it.
type Control struct {
	Socket     string // absolute; "": none
	ReadGroup  string // the group that may read, by name or number
	AdminGroup string // the group that may also change
}

// DefaultControl returns the values for a file without [control].
func DefaultControl() Control {
	return Control{
		Socket: "/run/amifend/amifend.sock", ReadGroup: "amifend",
		AdminGroup: "amifend-admin",
	}
}

// longestSocket is the size of sun_path (unix(7)) without its final zero, in bytes.
const longestSocket = 107

// groupName matches the names that groupadd(8) accepts, and numbers.
var groupName = regexp.MustCompile(`^([a-z_][a-z0-9_-]{0,31}\$?|[0-9]{1,10})$`)

// control reads [control].
func (l *loader) control(raw rawControl) Control {
	c := DefaultControl()
	c.Socket = get(l, "control.socket", raw.Socket, c.Socket)
	c.ReadGroup = get(l, "control.read_group", raw.ReadGroup, c.ReadGroup)
	c.AdminGroup = get(l, "control.admin_group", raw.AdminGroup, c.AdminGroup)

	switch {
	case c.Socket == "":
		// There is no socket.

	case !filepath.IsAbs(c.Socket):
		l.problem("control.socket", "is not an absolute name; write one like %q",
			DefaultControl().Socket)
	case len(c.Socket) > longestSocket:
		l.problem("control.socket", "is longer than the %d bytes that a socket's name may have",
			longestSocket)
	}

	l.group("control.read_group", c.ReadGroup)
	l.group("control.admin_group", c.AdminGroup)
	return c
}

// group records a problem unless name can be a group.
func (l *loader) group(key, name string) {
	if !groupName.MatchString(name) {
		l.problem(key, "is not a group; write its name or its number")
	}
}

// FindSocket returns the control socket that the file at path names. The rest of the file need not
// be valid, because users must reach a running daemon while they edit its config. If mayLack is
// set, a file that is missing or not readable means the default socket.
func FindSocket(path string, mayLack bool) (string, error) {
	var file struct {
		Control rawControl `toml:"control"`
	}

	// Only [control] is decoded, so a mistake elsewhere does not matter.
	err := glance(path, &file)
	if mayLack && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		return DefaultControl().Socket, nil
	}
	if err != nil {
		return "", fmt.Errorf("find the control socket: %w", err)
	}

	// The running daemon cannot have read a value of the wrong type.
	if s := file.Control.Socket; s.set && s.wrong == "" {
		return s.v, nil
	}

	return DefaultControl().Socket, nil
}

// FindTable returns the nftables table that the file at path names. The rest of the file need not
// be valid, because users must be able to remove the table at any time. If mayLack is set, a
// missing file means the default table.
func FindTable(path string, mayLack bool) (string, error) {
	var file struct {
		Firewall rawFirewall `toml:"firewall"`
	}

	// The default replaces a missing name, never a wrong one: it could be the table of another
	// amifend.
	err := glance(path, &file)
	switch t := file.Firewall.Table; {
	case mayLack && errors.Is(err, fs.ErrNotExist):
		return defaultTable, nil
	case err != nil:
		return "", fmt.Errorf("find the table: %w", err)
	case !t.set:
		return defaultTable, nil
	case t.wrong != "" || !tableName.MatchString(t.v):
		return "", &Error{
			File:     path,
			Problems: []Problem{{Text: "firewall.table: is not a valid name for a table"}},
		}
	default:
		return t.v, nil
	}
}

// glance decodes some sections of a file. The others need not be valid, but the file must be TOML.
func glance(path string, sections any) error {
	src, _, err := readRegular(path, maxFile)
	if err != nil {
		return err
	}

	if _, err := toml.Decode(string(src), sections); err != nil {
		return &Error{File: path, Problems: []Problem{syntaxProblem(src, err)}}
	}

	return nil
}
