package deliver

import "sync"

// window is how many batches an environment may have under way, as TCP's congestion window is (RFC
// 5681): each success makes it larger, and when Segment throttles, or is down, it begins again at
// one. So Segment, when it is back, meets one batch of each environment, and then as many as it can
// take. It is a policy and nothing else: no clock, no I/O.
type window struct {
	mu        sync.Mutex
	size      float64
	threshold float64 // up to here every success adds one; beyond, every full window does
	most      float64
}

func newWindow(most int) *window {
	return &window{size: float64(most), threshold: float64(most), most: float64(most)}
}

// grow notes a batch that Segment took.
func (w *window) grow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.size < w.threshold {
		w.size++
	} else {
		w.size += 1 / w.size
	}
	w.size = min(w.size, w.most)
}

// cut begins again at one, and remembers half of what was too much.
func (w *window) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.threshold = max(1, w.size/2)
	w.size = 1
}

// room reports whether one more batch may be under way beside n.
func (w *window) room(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return float64(n) < w.size
}
