package pbx

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The user asterisk may write the folder, and root looks at it: no file makes the look hang or take
// much memory, and what is not read is named.
func TestHostileFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "pjsip.conf"), "[a]\ntype=endpoint\n#include deep0.conf\n#include pjsip.conf\n"+
		"#include *.conf\n#exec /bin/touch "+dir+"/ran\n#include loop/pjsip.conf\n#include pipe.conf\n")
	for i := range 40 {
		write(t, filepath.Join(dir, fmt.Sprintf("deep%d.conf", i)),
			fmt.Sprintf("#include deep%d.conf\n#include deep%d.conf\n", i+1, i+1))
	}
	for _, name := range []string{"sip.conf", "modules.conf", "pipe.conf"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{
		"iax.conf": "iax.conf", "loop": ".", "http.conf": "/dev/zero", "users.conf": "/proc/self/mem",
	} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"voicemail.conf", "extensions.conf"} {
		write(t, filepath.Join(dir, name), "[a]\n")
		if err := os.Truncate(filepath.Join(dir, name), 1<<30); err != nil { // without blocks on the disk
			t.Fatal(err)
		}
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan Result, 1)
	go func() {
		r, err := Look(ctx, Options{Dir: dir})
		if err != nil {
			t.Error(err)
		}
		done <- r
	}()
	select {
	case r := <-done:
		all := strings.Join(r.Problems, "\n")
		for _, want := range []string{
			"sip.conf", "iax.conf", "http.conf", "users.conf", "voicemail.conf", "extensions.conf", "pipe.conf",
			"too large",
		} {
			if !strings.Contains(all, want) {
				t.Errorf("%s is not named in\n%s", want, all)
			}
		}
	case <-ctx.Done():
		t.Fatal("it hangs")
	}
	if exists(dir, "ran") {
		t.Error("#exec was run")
	}
}
