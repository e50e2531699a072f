;;; gptel_tests.el --- Gptel with the daemon as its backend  -*- lexical-binding: t; -*-

;;; Commentary:

;; Run in batch Emacs by test_gptel.py, which sets the variables of the
;; environment: EMACS_TEST_PACKAGE, the folder of scrubjay.el; EMACS_TEST_HTTP,
;; where the daemon listens for gptel; EMACS_TEST_DAEMON, its socket;
;; EMACS_TEST_FOLDER, where files may be made.

;;; Code:

(require 'ert)
(require 'cl-lib)
(require 'gptel)
(require 'gptel-context)
(add-to-list 'load-path (getenv "EMACS_TEST_PACKAGE"))
(require 'scrubjay-gptel)

(setq scrubjay-gptel-host (getenv "EMACS_TEST_HTTP")
      scrubjay-gptel-preload-delay 0.1
      make-backup-files nil
      create-lockfiles nil
      gptel-max-tokens 4
      gptel-model 'scrubjay
      gptel-backend (scrubjay-gptel-make-backend))

(defmacro gptel-tests--wait (condition)
  "Let Emacs do what it does until CONDITION; for a while only."
  `(let ((deadline (+ (float-time) 90)))
     (while (and (not ,condition) (< (float-time) deadline))
       (accept-process-output nil 0.01))
     (should ,condition)))

(defun gptel-tests--functions (n about)
  "Return a program of N functions, with ABOUT in their names."
  (cl-loop for i below n
           concat (format "def %s_%s_%d(größe):\n    return größe * %d + len('漢字 😀')\n\n\n"
                          about emacs-major-version i i)))

(defmacro gptel-tests--with-chat (name n &rest body)
  "In a chat, do BODY.
Its context is the variable `file', a new file NAME with N functions."
  (declare (indent 2))
  `(let* ((file (expand-file-name ,name (getenv "EMACS_TEST_FOLDER")))
          (gptel-context (list file))
          (chat (get-buffer-create "chat")))
     (write-region (gptel-tests--functions ,n ,name) nil file)
     (unwind-protect
         (with-current-buffer chat
           (text-mode)
           (gptel-mode 1)
           (insert "What do they return?")
           (scrubjay-gptel-preload-mode 1)
           ,@body)
       (scrubjay-gptel-preload-mode -1)
       (kill-buffer chat))))

(defun gptel-tests--save (file)
  "Change FILE, at its beginning, and save it as a user does."
  (with-current-buffer (find-file-noselect file)
    (goto-char (point-min))
    (insert "# Changed.\n")
    (save-buffer)
    (kill-buffer)))

(defun gptel-tests--ask ()
  "Send what is in the chat; return how many tokens of it were new, and how many were known."
  (let ((answered nil))
    (goto-char (point-max))
    (let ((gptel-post-response-functions (list (lambda (&rest _) (setq answered t)))))
      (gptel-send)
      (gptel-tests--wait answered))
    (let ((tokens (plist-get (gptel-fsm-info gptel--fsm-last) :tokens)))
      (cons (plist-get tokens :input) (plist-get tokens :cached)))))

(defun gptel-tests--listen ()
  "Return a buffer in which the daemon says what it does from now on."
  (let ((process (make-network-process :name "events" :family 'local :service (getenv "EMACS_TEST_DAEMON")
                                       :coding 'utf-8 :noquery t :buffer (generate-new-buffer " *events*"))))
    (process-send-string process "GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    (gptel-tests--wait (gptel-tests--said-p (process-buffer process) "\"type\":\"state\""))
    (process-buffer process)))

(defun gptel-tests--said-p (events text)
  "Return non-nil if TEXT is among EVENTS, a buffer."
  (with-current-buffer events
    (goto-char (point-min))
    (search-forward text nil t)))

(ert-deftest gptel-tests-a-saved-file-is-read-before-anybody-asks ()
  (gptel-tests--with-chat "one" 60
    (gptel-tests--save file)
    (gptel-tests--wait scrubjay-gptel--preload)
    (gptel-tests--wait (not scrubjay-gptel--preload))
    (pcase-let ((`(,new . ,known) (gptel-tests--ask)))
      (should (> known 1000))
      (should (< new 100)))))

(ert-deftest gptel-tests-a-request-ends-the-preload-and-loses-nothing ()
  (gptel-tests--with-chat "two" 120
    (let ((events (gptel-tests--listen)))
      (gptel-tests--save file)
      (gptel-tests--wait (gptel-tests--said-p events "\"type\":\"progress\""))
      (should scrubjay-gptel--preload)
      (pcase-let* ((preload scrubjay-gptel--preload)
                   (`(,new . ,known) (gptel-tests--ask)))
        (should-not (buffer-live-p preload))
        (should-not scrubjay-gptel--preload)
        (should (> known 0))
        (should (> (+ new known) 3000))))))

(ert-deftest gptel-tests-files-that-are-no-context-and-other-backends-are-left-alone ()
  (gptel-tests--with-chat "three" 1
    (let ((other (expand-file-name "other" (getenv "EMACS_TEST_FOLDER"))))
      (write-region "x = 1\n" nil other)
      (gptel-tests--save other)
      (should-not scrubjay-gptel--timer))
    (let ((gptel-backend (gptel-make-openai "Elsewhere" :host "localhost:1" :models '(any))))
      (scrubjay-gptel--begin)
      (should-not scrubjay-gptel--preload))))

(provide 'gptel_tests)
;;; gptel_tests.el ends here
