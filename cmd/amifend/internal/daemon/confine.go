package daemon

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/amifend/amifend/cmd/amifend/internal/confine"
	"github.com/amifend/amifend/cmd/amifend/internal/control"
)

// confineProcess confines the process to the directories of the journal and of the control socket,
// and logs what that came to. Both directories are made first: a confined process can make neither,
// and one that is deleted later stays away until a restart, as under the unit.
func confineProcess(o Options) *control.Confined {
	var dirs []string
	if dir := o.Config.State.Directory; dir != "" {
		// Errors of both are those of whoever needs the directory, and are reported there. Here a
		// missing one keeps Landlock out of force: the journal matters more.
		_ = os.MkdirAll(dir, 0o750)
		dirs = append(dirs, dir)

		// SQLite sorts what is large in a file, by default in /var/tmp.
		if os.Getenv("SQLITE_TMPDIR") == "" {
			_ = os.Setenv("SQLITE_TMPDIR", dir)
		}
	}
	if socket := o.Config.Control.Socket; socket != "" {
		dir := filepath.Dir(socket)
		_ = control.PrepareFolder(dir)
		dirs = append(dirs, dir)
	}

	r := confine.Apply(dirs)
	out := control.Confined(r)
	attrs := []any{
		"landlock", r.Landlock, "writes", strings.Join(r.Writes, " "), "no_new_privs", r.NoNewPrivs,
		"seccomp", r.Seccomp, "capabilities", strings.Join(r.Capabilities, " "),
	}
	switch {
	case r.Error != "":
		o.Log.Warn("the process could not be confined as it should be",
			append(attrs, "err", r.Error)...)
	case r.Landlock == 0:
		o.Log.Warn("the kernel has no Landlock in force: only the rights of files limit what amifend "+
			"writes and executes", attrs...)
	default:
		o.Log.Info("the process is confined", attrs...)
	}
	return &out
}
