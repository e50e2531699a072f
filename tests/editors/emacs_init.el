;;; emacs_init.el --- Emacs with ghost text, as tests run it  -*- lexical-binding: t; -*-

;;; Commentary:

;; Loaded by test_emacs.py, which sets the variables of the environment:
;; EMACS_TEST_PACKAGE, the folder of scrubjay.el, and EMACS_TEST_SERVER,
;; a command line in JSON.  What this Emacs knows is asked by evaluating
;; expressions over its server's socket, EMACS_TEST_SOCKET.

;;; Code:

;; What Emacs has loaded before this waits to be compiled, in processes that take the cores from the model for half a minute.
(defvar comp-files-queue)
(setq comp-files-queue nil
      native-comp-jit-compilation nil
      native-comp-deferred-compilation nil
      native-comp-speed -1
      make-backup-files nil
      auto-save-default nil
      create-lockfiles nil
      inhibit-startup-screen t
      ring-bell-function #'ignore)

(add-to-list 'load-path (getenv "EMACS_TEST_PACKAGE"))
(require 'scrubjay)
(setq scrubjay-command (append (json-parse-string (getenv "EMACS_TEST_SERVER")) nil))
(global-scrubjay-mode 1)

(require 'server)
(setq server-socket-dir (file-name-directory (getenv "EMACS_TEST_SOCKET"))
      server-name (file-name-nondirectory (getenv "EMACS_TEST_SOCKET")))
(server-start)

(defun scrubjay-test-buffer ()
  "Return the buffer in which the test types."
  (window-buffer (selected-window)))

(defun scrubjay-test-ghost (&optional written)
  "Return the ghost text that is shown after WRITTEN, or an empty string."
  (with-current-buffer (scrubjay-test-buffer)
    (substring-no-properties
     (or (and scrubjay-ghost-shown
              (string-suffix-p (or written "") (buffer-substring-no-properties (point-min) (point)))
              (overlay-get scrubjay-ghost--overlay 'after-string))
         ""))))

(defun scrubjay-test-text ()
  "Return the text of the buffer."
  (with-current-buffer (scrubjay-test-buffer)
    (buffer-substring-no-properties (point-min) (point-max))))

(defun scrubjay-test-complete ()
  "Ask for ghost text at the cursor."
  (with-current-buffer (scrubjay-test-buffer)
    (scrubjay-complete)
    t))

(defun scrubjay-test-erase (n)
  "Take back all after the first N characters, wherever the cursor is."
  (with-current-buffer (scrubjay-test-buffer)
    (delete-region (+ (point-min) n) (point-max))
    (goto-char (point-max))
    (scrubjay-ghost-hide)
    t))

(defvar scrubjay-test-n-offered 0
  "How often ghost text was offered.")

(advice-add 'scrubjay-ghost-offer :before (lambda (&rest _) (cl-incf scrubjay-test-n-offered)))

(defun scrubjay-test-server-counts ()
  "Return what the language server has counted."
  (let ((lsp (plist-get (jsonrpc-request scrubjay-server--connection :workspace/executeCommand
                                         '(:command "scrubjay.status" :arguments []))
                        :lsp)))
    (list :accepted (plist-get (plist-get lsp :suggestions) :accepted)
          :resent (plist-get lsp :resent))))

;; What a key costs: from the beginning of what runs for a change or after a command to its end.
;; What asking costs: Emacs is not to be seen busy then either, though a key may come in between.

(defvar scrubjay-test-key-ms nil
  "What each key has cost so far, in milliseconds.")

(defvar scrubjay-test-ask-ms nil
  "What each question has cost so far, in milliseconds.")

(defvar scrubjay-test-answer-ms nil
  "How long each answer took that came before the next key, in milliseconds.")

(defvar scrubjay-test--answered nil
  "The tick of the buffer when an answer last came.")

(defvar scrubjay-test--sum 0)

(defun scrubjay-test--ms (function arguments)
  "Call FUNCTION with ARGUMENTS and return how long that took."
  (let ((began (current-time)))
    (apply function arguments)
    (* 1e3 (float-time (time-since began)))))

(defun scrubjay-test-time-keys ()
  "Begin to measure what keys and questions cost."
  (dolist (function '(scrubjay--before-change scrubjay--after-change scrubjay--post-command))
    (advice-add function :around
                (lambda (function &rest arguments)
                  (cl-incf scrubjay-test--sum (scrubjay-test--ms function arguments)))))
  (advice-add 'scrubjay--post-command :after
              (lambda (&rest _)
                (push scrubjay-test--sum scrubjay-test-key-ms)
                (setq scrubjay-test--sum 0)))
  (advice-add 'scrubjay--ask :filter-args #'scrubjay-test--timed-question)
  (advice-add 'scrubjay--ask-unless-stale :around
              (lambda (function &rest arguments)
                (push (scrubjay-test--ms function arguments) scrubjay-test-ask-ms))))

(defun scrubjay-test--timed-question (arguments)
  "Return ARGUMENTS of a question so that its answer is timed."
  (pcase-let ((`(,invoked ,take) arguments)
              (began (current-time)))
    (list invoked
          (lambda (items)
            (push (* 1e3 (float-time (time-since began))) scrubjay-test-answer-ms)
            (setq scrubjay-test--answered (buffer-chars-modified-tick))
            (funcall take items)))))

(defun scrubjay-test-outcome ()
  "Return what a user sees after typing has stopped."
  (with-current-buffer (scrubjay-test-buffer)
    (cond (scrubjay-ghost-shown "ghost text")
          ((eql scrubjay-test--answered (buffer-chars-modified-tick)) "the model had nothing to say")
          (t "no answer yet"))))

(provide 'emacs_init)
;;; emacs_init.el ends here
