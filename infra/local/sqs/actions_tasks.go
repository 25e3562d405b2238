package sqs

import (
	"encoding/base64"
	"encoding/json"
)

type startTaskInput struct {
	SourceArn                    string
	DestinationArn               string
	MaxNumberOfMessagesPerSecond *int
}

type taskHandle struct {
	TaskID string `json:"taskId"`
	Source string `json:"sourceArn"`
}

func (t *taskRecord) handle() string {
	b, _ := json.Marshal(taskHandle{t.ID, t.Source}) // two strings can't fail
	return base64.StdEncoding.EncodeToString(b)
}

func startMessageMoveTask(c call, in *startTaskInput) (any, error) {
	if in.SourceArn == "" {
		return nil, errMissingParameter("SourceArn")
	}
	source, err := c.queueByARN(in.SourceArn, "SourceArn")
	if err != nil {
		return nil, err
	}
	if len(c.s.queues.sourcesOf(source)) == 0 {
		return nil, errInvalidParameter("Source queue must be configured as a Dead Letter Queue.")
	}
	if in.DestinationArn != "" {
		if _, err := c.queueByARN(in.DestinationArn, "DestinationArn"); err != nil {
			return nil, err
		}
		if in.DestinationArn == in.SourceArn {
			return nil, errInvalidParameter("Source queue arn and destination queue arn cannot be the same.")
		}
	}
	rate := 0
	if n := in.MaxNumberOfMessagesPerSecond; n != nil {
		if *n < 1 || *n > maxMoveRate {
			return nil, errInvalidParameter("Value for parameter MaxNumberOfMessagesPerSecond is invalid. You must enter a "+
				"value between 1 and %d.", maxMoveRate)
		}
		rate = *n
	}
	t, err := c.s.tasks.start(source, in.DestinationArn, rate)
	if err != nil {
		return nil, err
	}
	return struct{ TaskHandle string }{t.handle()}, nil
}

type cancelTaskInput struct{ TaskHandle string }

func cancelMessageMoveTask(c call, in *cancelTaskInput) (any, error) {
	if in.TaskHandle == "" {
		return nil, errMissingParameter("TaskHandle")
	}
	var h taskHandle
	b, err := base64.StdEncoding.DecodeString(in.TaskHandle)
	if err != nil || json.Unmarshal(b, &h) != nil || h.TaskID == "" {
		return nil, errInvalidParameter("Value for parameter TaskHandle is invalid.")
	}
	if _, err := c.queueByARN(h.Source, "SourceArn"); err != nil {
		return nil, err
	}
	moved, err := c.s.tasks.cancel(h.TaskID)
	if err != nil {
		return nil, err
	}
	return struct{ ApproximateNumberOfMessagesMoved int64 }{moved}, nil
}

type listTasksInput struct {
	SourceArn  string
	MaxResults *int
}

type listedTask struct {
	TaskHandle                        string `json:",omitempty"` // of a running task
	Status                            string
	SourceArn                         string
	DestinationArn                    string `json:",omitempty"`
	MaxNumberOfMessagesPerSecond      int    `json:",omitempty"`
	ApproximateNumberOfMessagesMoved  int64
	ApproximateNumberOfMessagesToMove int64
	FailureReason                     string `json:",omitempty"`
	StartedTimestamp                  int64
}

func listMessageMoveTasks(c call, in *listTasksInput) (any, error) {
	if in.SourceArn == "" {
		return nil, errMissingParameter("SourceArn")
	}
	if _, err := c.queueByARN(in.SourceArn, "SourceArn"); err != nil {
		return nil, err
	}
	limit := 1
	if n := in.MaxResults; n != nil {
		if *n < 1 || *n > maxListedTasks {
			return nil, errInvalidParameter("Value for parameter MaxResults is invalid. You must enter a value between "+
				"1 and %d.", maxListedTasks)
		}
		limit = *n
	}
	c.s.tasks.mu.Lock()
	defer c.s.tasks.mu.Unlock()
	ts := c.s.tasks.of(in.SourceArn)
	out := struct{ Results []listedTask }{[]listedTask{}}
	for _, t := range ts[:min(limit, len(ts))] {
		l := listedTask{
			Status: t.Status, SourceArn: t.Source, DestinationArn: t.Destination,
			MaxNumberOfMessagesPerSecond:      t.Rate,
			ApproximateNumberOfMessagesMoved:  t.Moved,
			ApproximateNumberOfMessagesToMove: t.ToMove,
			FailureReason:                     t.Reason, StartedTimestamp: t.Started,
		}
		if t.Status == statusRunning {
			l.TaskHandle = t.handle()
		}
		out.Results = append(out.Results, l)
	}
	return out, nil
}
