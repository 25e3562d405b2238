package archive

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What counts as archived is deleted from the queue.
func TestAnErrorThatNamesNoFramesIsOneOfAllFrames(t *testing.T) {
	one := errors.New("no")
	partly := &PutError{Failed: map[int]error{2: one, 0: one}, Frames: 3}
	for _, c := range []struct {
		err  error
		want []int
	}{
		{nil, nil}, {one, []int{0, 1, 2}}, {partly, []int{0, 2}}, {fmt.Errorf("archive: %w", partly), []int{0, 2}},
		{&PutError{Frames: 3}, nil},
	} {
		if got := Unarchived(3, c.err); !slices.Equal(got, c.want) {
			t.Errorf("%v: frames %v are not archived, want %v", c.err, got, c.want)
		}
	}
	if !errors.Is(partly, one) || !strings.Contains(partly.Error(), "2 of 3") {
		t.Errorf("it says %q", partly)
	}
}
