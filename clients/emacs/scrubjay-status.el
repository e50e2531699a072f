;;; scrubjay-status.el --- What Scrubjay does, and what is wrong with it  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The Scrubjay authors
;; SPDX-License-Identifier: MIT

;;; Commentary:

;; `scrubjay-status' shows the daemon's context as a strip, and what the last
;; edits cost; `scrubjay-prompt' shows what the model gets at point;
;; `scrubjay-diagnose' goes the way from Emacs to the model and says where
;; it ends.

;;; Code:

(require 'cl-lib)
(require 'subr-x)
(require 'scrubjay-document)
(require 'scrubjay-server)

(defvar scrubjay-mode)
(defvar scrubjay-auto)
(declare-function scrubjay--inhibited-p "scrubjay")

(defconst scrubjay-status--width 64
  "Characters in the strip.")

(defvar-local scrubjay-status--for nil
  "The buffer that the status is about.")

(define-derived-mode scrubjay-status-mode special-mode "Scrubjay status"
  "What Scrubjay has in its context.
\\<scrubjay-status-mode-map>\\[revert-buffer] looks again."
  (setq-local revert-buffer-function (lambda (&rest _) (scrubjay-status--fill))))

;;;###autoload
(defun scrubjay-status ()
  "Show what Scrubjay has in its context, and what it cost."
  (interactive)
  (scrubjay-status--show #'scrubjay-status--fill))

;;;###autoload
(defun scrubjay-diagnose ()
  "Find out what is wrong with Scrubjay."
  (interactive)
  (scrubjay-status--show #'scrubjay-status--diagnose))

;;;###autoload
(defun scrubjay-prompt ()
  "Show the prompt at point as the model gets it, and why each part is in it."
  (interactive)
  (scrubjay-status--show #'scrubjay-status--prompt))

(defun scrubjay-status--show (fill)
  "Show the status buffer, about the current one; FILL fills it."
  (let ((buffer (current-buffer)))
    (with-current-buffer (get-buffer-create "*scrubjay-status*")
      (unless (derived-mode-p 'scrubjay-status-mode)
        (scrubjay-status-mode))
      (unless (eq buffer (current-buffer))
        (setq scrubjay-status--for buffer))
      (setq-local revert-buffer-function (lambda (&rest _) (funcall fill)))
      (funcall fill)
      (display-buffer (current-buffer)))))

(defun scrubjay-status--write (lines)
  "Write LINES, strings or nil, into the status buffer."
  (with-current-buffer (get-buffer-create "*scrubjay-status*")
    (let ((inhibit-read-only t))
      (erase-buffer)
      (dolist (line lines)
        (when line
          (insert line "\n")))
      (goto-char (point-min)))))

(defun scrubjay-status--ask (then)
  "Ask the language server for its status; call THEN with it, or with a sentence."
  (scrubjay-server-ensure)
  (scrubjay-server-execute "scrubjay.status" nil then then))

;;;; The status

(defun scrubjay-status--fill ()
  "Fill the status buffer as answers come."
  (let ((uri (scrubjay-status--uri)))
    (scrubjay-status--write '("Asking ..."))
    (scrubjay-status--ask
     (lambda (status)
       (if (stringp status)
           (scrubjay-status--write (list status))
         (scrubjay-server-execute
          "scrubjay.context" (and uri (list uri))
          (lambda (context)
            (scrubjay-status--write (append (scrubjay-status--summary status)
                                            (scrubjay-status--context context))))))))))

(defun scrubjay-status--uri ()
  "Return the URI of the document that the status is about, or nil."
  (and (buffer-live-p scrubjay-status--for)
       (with-current-buffer scrubjay-status--for
         (scrubjay-document-uri))))

(defun scrubjay-status--summary (status)
  "Return lines about the language server's STATUS and the daemon's in it."
  (let* ((daemon (plist-get status :daemon))
         (model (plist-get daemon :model))
         (checkpoints (plist-get daemon :checkpoints))
         (rss (plist-get daemon :rss)))
    (list (format "Scrubjay is %s.%s" (scrubjay-server-state)
                  (if-let ((message (scrubjay-server-message))) (concat "  " message) ""))
          (if daemon
              (format "Daemon      %s, process %s, for %s s" (plist-get daemon :version)
                      (plist-get daemon :pid) (plist-get daemon :uptime_s))
            (format "Daemon      none: the connection is %s" (plist-get (plist-get status :lsp) :link)))
          (when model
            (format "Model       %s, context of %s tokens" (plist-get model :name) (plist-get model :n_ctx)))
          (when checkpoints
            (format "Checkpoints %s, %s of %s" (plist-get checkpoints :count)
                    (scrubjay-status--bytes (plist-get checkpoints :bytes))
                    (scrubjay-status--bytes (plist-get checkpoints :budget))))
          (when rss
            (format "Memory      %s daemon, %s engine" (scrubjay-status--bytes (plist-get rss :daemon))
                    (scrubjay-status--bytes (plist-get rss :engine)))))))

(defun scrubjay-status--bytes (n)
  "Return N bytes as people read them."
  (if (numberp n) (concat (file-size-human-readable n 'iec " ") "") "-"))

(defun scrubjay-status--context (context)
  "Return lines about the CONTEXT of a project: its strip and what edits cost."
  (when (plist-get context :root)
    (let ((segments (append (plist-get context :segments) nil))
          (edits (reverse (append (plist-get context :edits) nil))))
      (append
       (list ""
             (format "Project     %s" (plist-get context :root))
             (format "Warm        %s of %s tokens, %d checkpoints, one every %s tokens"
                     (plist-get context :n_resident) (plist-get context :n_ctx)
                     (length (plist-get context :checkpoints)) (plist-get context :interval)))
       (when segments
         (scrubjay-status--strip segments (append (plist-get context :checkpoints) nil)
                                 (plist-get context :n_resident)))
       (when edits
         (cons "\nThe last edits, the newest first: tokens processed, tokens needed, time, why"
               (mapcar #'scrubjay-status--edit edits)))))))

(defun scrubjay-status--edit (edit)
  "Return a line about what EDIT cost."
  (format "%8s %8s %8.0f ms  %-10s %s" (plist-get edit :processed) (plist-get edit :needed)
          (or (plist-get edit :ms) 0) (or (plist-get edit :reason) "")
          (file-name-nondirectory (or (plist-get edit :uri) ""))))

(defun scrubjay-status--strip (segments checkpoints n-resident)
  "Return lines that show SEGMENTS, CHECKPOINTS below them, and a legend.
What is beyond N-RESIDENT tokens is not warm, and is shown as dots."
  (let* ((n-tokens (max 1 (apply #'max (mapcar (lambda (segment) (plist-get segment :end)) segments))))
         (column (lambda (token) (min (1- scrubjay-status--width)
                                      (/ (* token scrubjay-status--width) n-tokens))))
         (strip (make-string scrubjay-status--width ?.))
         (marks (make-string scrubjay-status--width ?\s)))
    (cl-loop for segment in segments
             for letter in (scrubjay-status--letters (length segments))
             do (cl-loop for i from (funcall column (plist-get segment :start))
                         to (funcall column (1- (plist-get segment :end)))
                         when (< (/ (* i n-tokens) scrubjay-status--width) n-resident)
                         do (aset strip i letter)))
    (dolist (token checkpoints)
      (when (<= token n-tokens)
        (aset marks (funcall column token) ?^)))
    (append (list "" strip marks)
            (cl-loop for segment in segments
                     for letter in (scrubjay-status--letters (length segments))
                     collect (format "  %c %6d  %s %s" letter
                                     (- (plist-get segment :end) (plist-get segment :start))
                                     (plist-get segment :kind) (or (plist-get segment :label) ""))))))

(defun scrubjay-status--letters (n)
  "Return N letters, from the beginning again after the last."
  (cl-loop for i below n collect (+ ?A (mod i 26))))

;;;; The prompt

(defun scrubjay-status--prompt ()
  "Fill the status buffer with the prompt at point of the buffer it is about."
  (scrubjay-status--write '("Asking ..."))
  (if-let ((place (scrubjay-status--place)))
      (scrubjay-server-execute "scrubjay.prompt" place
                               (lambda (prompt)
                                 (scrubjay-status--write (scrubjay-status--parts prompt)))
                               (lambda (sentence)
                                 (scrubjay-status--write (list sentence))))
    (scrubjay-status--write '("Turn on `scrubjay-mode' in a buffer with a file, and ask there."))))

(defun scrubjay-status--place ()
  "Return URI and position of point in the buffer that this is about, or nil."
  (when (and (buffer-live-p scrubjay-status--for) (scrubjay-server-ensure))
    (with-current-buffer scrubjay-status--for
      (when (scrubjay-document-sync)
        (list (scrubjay-document-uri) (scrubjay-document-position (point)))))))

(defun scrubjay-status--parts (prompt)
  "Return lines about PROMPT: each part's size and reason, and its text."
  (if-let ((problem (plist-get prompt :error)))
      (list problem)
    (append
     (list (format "What the model is shown at point, %d tokens, after a pause there.\n" (plist-get prompt :tokens))
           (unless (string-empty-p (plist-get prompt :problem))
             (concat (plist-get prompt :problem) "\n")))
     (cl-loop for part across (plist-get prompt :parts)
              collect (format "--- %s %s: %d tokens; %s" (plist-get part :kind) (plist-get part :label)
                              (plist-get part :n_tokens) (plist-get part :reason))
              collect (plist-get part :text)))))

;;;; What is wrong

(defun scrubjay-status--diagnose ()
  "Fill the status buffer with what was found out."
  (let ((buffer (or scrubjay-status--for (current-buffer))))
    (scrubjay-status--write '("Looking ..."))
    (scrubjay-status--ask
     (lambda (status)
       (scrubjay-status--write
        (append (list "From Emacs to the model; the first line that is not ok is the reason.\n")
                (scrubjay-status--findings buffer status)
                (scrubjay-status--last-words)))))))

(defun scrubjay-status--findings (buffer status)
  "Return a line for each station from BUFFER to the model; STATUS as it was had."
  (let* ((daemon (and (listp status) (plist-get status :daemon)))
         (lsp (and (listp status) (plist-get status :lsp)))
         (program (executable-find (car scrubjay-command))))
    (append
     (and (buffer-live-p buffer) (with-current-buffer buffer (scrubjay-status--buffer-findings)))
     (list
      (scrubjay-status--finding program (format "the program %s" (or program (car scrubjay-command)))
                                scrubjay-server-install-help)
      (scrubjay-status--finding lsp "the language server answers"
                                (if (stringp status) status "M-x scrubjay-restart"))
      (scrubjay-status--finding daemon (format "the daemon at %s" (or (plist-get lsp :socket) "its socket"))
                                (or (plist-get lsp :message) "\"scrubjay start\" says why"))
      (scrubjay-status--finding (member (plist-get daemon :state) '("ready" "unloaded"))
                                (format "the model%s" (if-let ((name (plist-get (plist-get daemon :model) :name)))
                                                      (concat " " name)
                                                    ""))
                                (format "it is %s. %s" (or (plist-get daemon :state) "not there")
                                        (or (plist-get daemon :message) ""))))
     (and (equal (plist-get daemon :state) "ready")
          (scrubjay-status--style-findings (plist-get (plist-get daemon :fim) :style))))))

(defun scrubjay-status--style-findings (style)
  "Return lines about STYLE, how the model is asked to fill in."
  (and style
       (list (scrubjay-status--finding
              (equal style "fim") "the model is made for filling in the middle"
              "it has no tokens for that, and completions are poor; \"scrubjay model use\" takes another one"))))

(defun scrubjay-status--buffer-findings ()
  "Return lines about the current buffer."
  (let ((inhibited (and (fboundp 'scrubjay--inhibited-p) (scrubjay--inhibited-p))))
    (list
     (scrubjay-status--finding (bound-and-true-p scrubjay-mode) "`scrubjay-mode' is on here" "turn it on")
     (scrubjay-status--finding (and buffer-file-name (not (file-remote-p buffer-file-name)))
                               "the buffer has a file on this machine" "others are not completed")
     (scrubjay-status--finding (bound-and-true-p scrubjay-auto) "ghost text comes by itself"
                               "M-x scrubjay-toggle, or set `scrubjay-auto'")
     (scrubjay-status--finding (not inhibited) "nothing keeps it away here"
                               (format "`%s' does; see `scrubjay-inhibit-functions'" inhibited)))))

(defun scrubjay-status--finding (ok what help)
  "Return a line: OK, or not, WHAT was looked at, and HELP if it is not."
  (if ok
      (format "ok      %s" what)
    (format "NOT OK  %s: %s" what help)))

(defun scrubjay-status--last-words ()
  "Return what the language server last wrote to its log."
  (when-let ((log (get-buffer " *scrubjay stderr*")))
    (let ((words (with-current-buffer log
                   (save-excursion
                     (goto-char (point-max))
                     (forward-line -15)
                     (buffer-substring-no-properties (point) (point-max))))))
      (unless (string-empty-p (string-trim words))
        (list "\nThe language server's last words:" words)))))

(provide 'scrubjay-status)
;;; scrubjay-status.el ends here
