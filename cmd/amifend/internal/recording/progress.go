package recording

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// ShowProgress draws a progress bar of a set to w, with the rate and the time that is left. The
// returned function removes the bar. Nothing is drawn in the first second, and nothing at all if w
// is nil.
func ShowProgress(w io.Writer, s *Set) (stop func()) {
	if w == nil {
		return func() {}
	}

	done := make(chan struct{})
	var ended sync.WaitGroup

	// Drawing has its own goroutine, so that reading never waits for a terminal.
	ended.Go(func() {
		const often = 500 * time.Millisecond
		tick := time.NewTicker(often)
		defer tick.Stop()

		begin, drawn := time.Now(), false
		for {
			select {
			case <-done:
				// The caller's text must begin on an empty line.
				if drawn {
					fmt.Fprint(w, "\r\x1b[K")
				}
				return
			case <-tick.C:
			}

			// Short work needs no bar.
			if since := time.Since(begin); since >= time.Second {
				read, size := s.Progress()
				fmt.Fprint(w, "\r\x1b[K", bar(read, size, since))
				drawn = true
			}
		}
	})

	// The caller writes its result next, so the last drawing must be over by then.
	return func() {
		close(done)
		ended.Wait()
	}
}

// bar returns `[#####---------------] 25% 35.1 MB/s 12s left`, or without a known size the bytes
// that were read and the rate.
func bar(read, size int64, since time.Duration) string {
	const width, megabyte = 20, 1e6

	// The size of a pipe is not known, and a file may grow while it is read.
	rate := float64(read) / since.Seconds()
	if size <= 0 || read > size {
		return fmt.Sprintf("%.1f MB read  %.1f MB/s", float64(read)/megabyte, rate/megabyte)
	}

	part := float64(read) / float64(size)
	full := int(part * width)
	text := fmt.Sprintf("[%s%s] %3.0f%%  %.1f MB/s", strings.Repeat("#", full),
		strings.Repeat("-", width-full), part*100, rate/megabyte)

	if read > 0 {
		left := time.Duration(float64(size-read) / rate * float64(time.Second))
		text += "  " + left.Round(time.Second).String() + " left"
	}

	return text
}
