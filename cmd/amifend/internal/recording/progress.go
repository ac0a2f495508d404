package recording

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// ShowProgress draws a bar of what is read of a set into w, with the rate and the time that is
// left, until the returned function is called; that removes it. Nothing is drawn in the first
// second, and nothing at all if w is nil.
func ShowProgress(w io.Writer, s *Set) (stop func()) {
	if w == nil {
		return func() {}
	}
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		const often = 500 * time.Millisecond
		tick := time.NewTicker(often)
		defer tick.Stop()
		begin, drawn := time.Now(), false
		for {
			select {
			case <-done:
				if drawn {
					fmt.Fprint(w, "\r\x1b[K")
				}
				return
			case <-tick.C:
			}
			if since := time.Since(begin); since >= time.Second {
				read, size := s.Progress()
				fmt.Fprint(w, "\r\x1b[K", bar(read, size, since))
				drawn = true
			}
		}
	})
	return func() {
		close(done)
		ended.Wait()
	}
}

// bar is `[#####---------------]  25%  35.1 MB/s  12s left`. Without a known size it is what was
// read, and the rate.
func bar(read, size int64, since time.Duration) string {
	const width, megabyte = 20, 1e6
	rate := float64(read) / since.Seconds()
	if size <= 0 || read > size {
		return fmt.Sprintf("%.1f MB read  %.1f MB/s", float64(read)/megabyte, rate/megabyte)
	}
	part := float64(read) / float64(size)
	full := int(part * width)
	text := fmt.Sprintf("[%s%s] %3.0f%%  %.1f MB/s", strings.Repeat("#", full), strings.Repeat("-",
		width-full), part*100, rate/megabyte)
	if read > 0 {
		left := time.Duration(float64(size-read) / rate * float64(time.Second))
		text += "  " + left.Round(time.Second).String() + " left"
	}
	return text
}
