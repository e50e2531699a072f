;;; emacs_tests.el --- What of scrubjay.el needs no terminal  -*- lexical-binding: t; -*-

;;; Commentary:

;; Run in batch Emacs by test_emacs_batch.py, which sets the variables of the
;; environment: EMACS_TEST_PACKAGE, the folder of scrubjay.el;
;; EMACS_TEST_SERVER, a command line in JSON; EMACS_TEST_FILE, a Python
;; file in a project of its own; EMACS_TEST_DAEMON, the daemon's socket.

;;; Code:

(require 'ert)
(require 'cl-lib)
(add-to-list 'load-path (getenv "EMACS_TEST_PACKAGE"))

(require 'jsonrpc)
(require 'url)

(defun emacs-tests--hooks ()
  "Return what the hooks hold that a package might be tempted to change."
  (mapcar #'default-value '(before-change-functions after-change-functions post-command-hook after-save-hook
                            after-revert-hook kill-buffer-hook find-file-hook minor-mode-overriding-map-alist)))

(defvar emacs-tests--hooks-before (emacs-tests--hooks))
(require 'scrubjay)
(require 'scrubjay-status)
(require 'scrubjay-gptel)
(defvar emacs-tests--hooks-after (emacs-tests--hooks))
(setq scrubjay-command (append (json-parse-string (getenv "EMACS_TEST_SERVER")) nil))

(defmacro emacs-tests--wait (condition)
  "Let Emacs do what it does until CONDITION; for a while only."
  `(let ((deadline (+ (float-time) 90)))
     (while (and (not ,condition) (< (float-time) deadline))
       (accept-process-output nil 0.05))
     (should ,condition)))

(defmacro emacs-tests--with-file (text &rest body)
  "Visit the test's file with TEXT in it in `scrubjay-mode', and do BODY."
  (declare (indent 1))
  `(progn
     (write-region ,text nil (getenv "EMACS_TEST_FILE"))
     (let ((buffer (find-file-noselect (getenv "EMACS_TEST_FILE"))))
       (save-window-excursion
         (switch-to-buffer buffer)
         (unwind-protect
             (progn
               (scrubjay-mode 1)
               (emacs-tests--wait (scrubjay-server-running-p))
               (goto-char (point-max))
               ,@body)
           (set-buffer-modified-p nil)
           (kill-buffer buffer))))))

(defmacro emacs-tests--offering (items text &rest body)
  "In a buffer with TEXT and ITEMS, strings, offered at its end, do BODY."
  (declare (indent 2))
  `(with-temp-buffer
     (insert ,text)
     (scrubjay-ghost-offer (cl-loop for item in ,items for n from 1 collect (cons item (number-to-string n))) 0)
     ,@body))

(defun emacs-tests--shown ()
  "Return the ghost text that is shown, or nil."
  (and scrubjay-ghost-shown (substring-no-properties (overlay-get scrubjay-ghost--overlay 'after-string))))

(defun emacs-tests--daemon-text ()
  "Return the daemon's copy of the current buffer."
  (let ((answer 'none) (status 'none))
    ;; What was sent before this has arrived when this is answered.
    (scrubjay-server-execute "scrubjay.status" nil (lambda (answer) (setq status answer)))
    (emacs-tests--wait (not (eq status 'none)))
    (emacs-tests--get (getenv "EMACS_TEST_DAEMON")
                      (concat "/api/documents?uri=" (url-hexify-string (scrubjay-document-uri)))
                      (lambda (document) (setq answer (plist-get document :text))))
    (emacs-tests--wait (not (eq answer 'none)))
    answer))

(defun emacs-tests--get (socket path then)
  "Get PATH from the daemon at SOCKET; call THEN with its JSON as a plist, or nil."
  (let ((process (make-network-process :name "emacs-tests" :family 'local :service socket
                                       :coding 'binary :noquery t
                                       :buffer (generate-new-buffer " *scrubjay-get*"))))
    (set-process-sentinel process (lambda (process _) (emacs-tests--got process then)))
    (process-send-string process
                         (format "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" path))))

(defun emacs-tests--got (process then)
  "PROCESS has ended: call THEN with what it brought."
  (unless (process-live-p process)
    (let ((answer (with-current-buffer (process-buffer process)
                    (goto-char (point-min))
                    (when (and (looking-at "HTTP/1.1 200") (search-forward "\r\n\r\n" nil t))
                      (json-parse-string
                       (decode-coding-string (buffer-substring (point) (point-max)) 'utf-8)
                       :object-type 'plist :null-object nil :false-object nil)))))
      (kill-buffer (process-buffer process))
      (funcall then answer))))

(ert-deftest emacs-tests-loading-changes-nothing ()
  (should (equal emacs-tests--hooks-before emacs-tests--hooks-after)))

(ert-deftest emacs-tests-accepts-by-word-line-char-and-whole ()
  (emacs-tests--offering '("turn width * height\n\nx = 1") "re"
    (scrubjay-accept-word 1)
    (should (equal (buffer-string) "return"))
    (should (equal (emacs-tests--shown) " width * height\n\nx = 1"))
    (scrubjay-accept-to-char ?*)
    (should (equal (buffer-string) "return width *"))
    (scrubjay-accept-line 1)
    (should (equal (buffer-string) "return width * height"))
    (scrubjay-accept-line 1)
    (should (equal (buffer-string) "return width * height\n\nx = 1"))
    (should-not scrubjay-ghost-shown)))

(ert-deftest emacs-tests-a-character-that-is-not-there-is-not-accepted ()
  (emacs-tests--offering '("turn") "re"
    (should-error (scrubjay-accept-to-char ?z) :type 'user-error)
    (should (equal (buffer-string) "re"))
    (scrubjay-accept)
    (should (equal (buffer-string) "return"))
    (should-error (scrubjay-accept) :type 'user-error)))

(ert-deftest emacs-tests-typing-along-keeps-it-and-else-it-goes ()
  (emacs-tests--offering '("turn x" "use y") "re"
    (insert "tu")
    (scrubjay-ghost-refresh)
    (should (equal (emacs-tests--shown) "rn x"))
    (insert "X")
    (scrubjay-ghost-refresh)
    (should-not (emacs-tests--shown))))

(ert-deftest emacs-tests-another-alternative-that-fits-is-shown ()
  (emacs-tests--offering '("turn x" "use y" "used") "re"
    (insert "us")
    (scrubjay-ghost-refresh)
    (should (equal (emacs-tests--shown) "e y"))
    (scrubjay-next 1)
    (should (equal (emacs-tests--shown) "ed"))
    (scrubjay-previous 1)
    (should (equal (emacs-tests--shown) "e y"))))

(ert-deftest emacs-tests-it-goes-with-the-cursor-and-with-other-changes ()
  (emacs-tests--offering '("turn") "x\nre"
    (backward-char)
    (scrubjay-ghost-refresh)
    (should-not (emacs-tests--shown)))
  (emacs-tests--offering '("turn") "x\nre"
    (save-excursion (goto-char (point-min)) (insert "y"))
    (scrubjay-ghost-refresh)
    (should-not (emacs-tests--shown))))

(ert-deftest emacs-tests-an-open-menu-keeps-it-away ()
  (emacs-tests--offering '("turn") "re"
    (setq-local completion-in-region-mode t)
    (scrubjay--menu-changed)
    (should-not (emacs-tests--shown))
    (should (eq (scrubjay--inhibited-p) #'scrubjay-menu-open-p))))

(ert-deftest emacs-tests-keys-are-there-only-with-ghost-text ()
  (emacs-tests--with-file "re"
    (should-not (eq (key-binding (kbd "TAB")) #'scrubjay-accept))
    (scrubjay-ghost-offer '(("turn" . "0")) 0)
    (should (eq (key-binding (kbd "TAB")) #'scrubjay-accept))
    (should (eq (key-binding (kbd "M-f")) #'scrubjay-accept-word))
    (scrubjay-dismiss)
    (should-not (eq (key-binding (kbd "TAB")) #'scrubjay-accept))))

(ert-deftest emacs-tests-the-daemon-has-what-the-buffer-has ()
  "After typing, deleting, replacing, transposing, and changing case, in any order."
  (emacs-tests--with-file "naïve 漢字 😀 = 1\nlast"
    (random "scrubjay")
    (scrubjay-document-sync)
    (dotimes (round 12)
      (dotimes (_ 8)
        (emacs-tests--edit (random 8) (+ (point-min) (random (1+ (buffer-size))))))
      (scrubjay-document-sync)
      (should (equal (list round (emacs-tests--daemon-text)) (list round (buffer-string)))))))

(defun emacs-tests--edit (kind place)
  "Make a change of KIND, a number, at PLACE."
  (goto-char place)
  (let ((end (min (point-max) (+ place 5))))
    (pcase kind
      (0 (insert "😀é\n"))
      (1 (insert "a") (insert "b") (insert "c"))
      (2 (delete-region place end))
      (3 (upcase-region place end))
      (4 (translate-region place end (let ((table (make-string 256 ?x))) (aset table ?\n ?\n) table)))
      (5 (ignore-errors (transpose-words 1)))
      (6 (while (and (search-forward "a" nil t) (< (buffer-size) 2000)) (replace-match "bb")))
      (7 (let ((inhibit-modification-hooks t)) (insert "unseen"))))))

(ert-deftest emacs-tests-what-cannot-be-sent-is-sent-as-something-else ()
  (emacs-tests--with-file "x"
    (insert "\r" (unibyte-char-to-multibyte #xff) "😀")
    (scrubjay-document-sync)
    (should (equal (emacs-tests--daemon-text) "x \uFFFD😀"))))

(ert-deftest emacs-tests-bytes-that-are-no-text-are-sent-as-something-else ()
  (emacs-tests--with-file "x"
    (set-buffer-multibyte nil)
    (scrubjay-document-mark-lost)
    (insert 200 "\ry")
    (scrubjay-document-sync)
    (should (equal (emacs-tests--daemon-text) "x\uFFFD y"))))

(ert-deftest emacs-tests-asked-for-it-is-offered ()
  (emacs-tests--with-file "def area(width, height):\n    return width * height\n\n\ndef perimeter(width, height):\n    ret"
    (scrubjay-complete)
    (emacs-tests--wait (emacs-tests--shown))
    (let ((text (buffer-string)) (shown (emacs-tests--shown)))
      (scrubjay-accept)
      (should (equal (buffer-string) (concat text shown)))
      (scrubjay-document-sync)
      (should (equal (emacs-tests--daemon-text) (buffer-string))))))

(ert-deftest emacs-tests-an-answer-to-an-older-text-is-dropped ()
  (emacs-tests--with-file "def area(width, height):\n    ret"
    (let ((answers 0))
      (scrubjay--ask t (lambda (_) (cl-incf answers)))
      (insert "X")
      (let ((answered nil))
        (scrubjay-server-request :workspace/executeCommand '(:command "scrubjay.warm" :arguments [])
                                 (lambda (_) (setq answered t)))
        (emacs-tests--wait answered))
      (should (= answers 0)))))

(ert-deftest emacs-tests-what-has-brought-nothing-is-asked-again-and-else-not ()
  (emacs-tests--with-file "def area(width, height):\n    return width * height\n\n\ndef perimeter(width, height):\n    ret"
    (setq scrubjay--asked (list (buffer-chars-modified-tick) (point) nil))
    (run-hooks 'scrubjay-server-ready-hook)
    (emacs-tests--wait (emacs-tests--shown))
    (scrubjay-dismiss)
    (should-not scrubjay--asked)))

(ert-deftest emacs-tests-status-and-diagnosis-are-written ()
  (emacs-tests--with-file "def area(width, height):\n    ret"
    (let ((answered nil))
      (scrubjay--ask t (lambda (_) (setq answered t)))
      (emacs-tests--wait answered))
    (scrubjay-status)
    (with-current-buffer "*scrubjay-status*"
      (emacs-tests--wait (string-match-p "The last edits" (buffer-string)))
      (should (string-match-p "^A+" (buffer-string))))
    (scrubjay-diagnose)
    (with-current-buffer "*scrubjay-status*"
      (emacs-tests--wait (string-match-p "the model" (buffer-string)))
      (should-not (string-match-p "^NOT OK" (buffer-string))))))

(ert-deftest emacs-tests-the-prompt-at-point-is-shown ()
  (emacs-tests--with-file "def area(width, height):\n    ret"
    (emacs-tests--wait (scrubjay-server-ensure))
    (goto-char (point-max))
    (insert "urn wid")
    (scrubjay-prompt)
    (with-current-buffer "*scrubjay-status*"
      (emacs-tests--wait (string-match-p "^--- middle shapes.py: [0-9]+ tokens; " (buffer-string)))
      (should (string-match-p "at point, [0-9]+ tokens" (buffer-string)))
      (should (string-match-p "return" (buffer-string))))
    (with-temp-buffer
      (scrubjay-prompt)
      (with-current-buffer "*scrubjay-status*"
        (should (string-match-p "Turn on" (buffer-string)))))))

(ert-deftest emacs-tests-the-state-of-the-daemon-is-shown ()
  (emacs-tests--with-file "def area(width, height):\n    ret"
    (scrubjay--ask t #'ignore)
    (emacs-tests--wait (equal (plist-get scrubjay-server--daemon :state) "ready"))
    (emacs-tests--wait (eq (scrubjay-server-state) 'ready))
    (let ((scrubjay-server--daemon nil))
      (scrubjay-server--notified nil 'scrubjay/state '(:state "loading" :message "" :load nil))
      (should (eq (scrubjay-server-state) 'warming))
      (scrubjay-server--notified nil 'scrubjay/state '(:state "failed" :message "No such file." :load nil))
      (should (eq (scrubjay-server-state) 'off))
      (should (equal (scrubjay-server-message) "No such file.")))))

(ert-deftest emacs-tests-a-server-that-does-not-answer-is-ended ()
  (let* ((scrubjay-server--connection nil)
         (scrubjay-server--capabilities nil)
         (scrubjay-server--trouble nil)
         (scrubjay-server--not-before 0)
         (scrubjay-command '("sleep" "600")))
    (scrubjay-server-ensure)
    (let ((connection (scrubjay-server-connection)))
      (should (jsonrpc-running-p connection))
      (scrubjay-server--fail "it does not answer")
      (should-not (jsonrpc-running-p connection))
      (should (equal (scrubjay-server-message) "Scrubjay cannot run: it does not answer."))
      (should-not (scrubjay-server-connection)))))

(ert-deftest emacs-tests-the-server-does-not-run-in-a-project ()
  (emacs-tests--with-file "x"
    (let ((process (seq-find (lambda (process) (equal (process-name process) "scrubjay")) (process-list))))
      (should (equal (file-truename (format "/proc/%d/cwd" (process-id process))) "/")))))

(ert-deftest emacs-tests-a-missing-program-is-named ()
  (let ((scrubjay-command '("no-such-program-as-this"))
        (scrubjay-server--connection nil)
        (scrubjay-server--not-before 0)
        (scrubjay-server--trouble nil))
    (should-not (scrubjay-server-ensure))
    (should (string-match-p "no-such-program-as-this; install it" (scrubjay-server-message)))))

(defun emacs-tests--ask-for-next-edit ()
  "Ask what is to be edited next, until it is shown: the daemon is quiet for a moment after a key."
  (let ((deadline (+ (float-time) 90)))
    (while (and (not scrubjay-next-edit-shown) (< (float-time) deadline))
      (scrubjay-next-edit--ask (current-buffer) (buffer-chars-modified-tick))
      (accept-process-output nil 0.1)))
  (should scrubjay-next-edit-shown))

(defmacro emacs-tests--renaming (name &rest body)
  "With a parameter renamed to NAME where it is defined, and next edits switched on, do BODY.
What one test does not make is not proposed again: each has a NAME of its own."
  (declare (indent 1))
  `(let ((scrubjay-next-edit '("python")))
     (scrubjay-server-stop)
     (unwind-protect
         (emacs-tests--with-file "'😀'\ndef area(width, height):\n    return '😀', width * height\n"
           (python-mode)
           (scrubjay-mode 1)
           (scrubjay-document-sync)
           ;; What is changed before the daemon has the text is no edit to it.
           (emacs-tests--wait (equal (plist-get scrubjay-server--link :kind) "Normal"))
           (should (equal (emacs-tests--daemon-text) (buffer-string)))
           (goto-char (point-min))
           (search-forward "width")
           (replace-match ,name)
           (emacs-tests--ask-for-next-edit)
           ,@body)
       (scrubjay-server-stop))))

(ert-deftest emacs-tests-a-next-edit-is-shown-gone-to-and-made ()
  (emacs-tests--renaming "breadth"
   (let ((overlay scrubjay-next-edit--overlay))
     (should (equal (buffer-substring (overlay-start overlay) (overlay-end overlay)) "width"))
     (should (equal (substring-no-properties (overlay-get overlay 'after-string)) " breadth")))
   (should (eq (key-binding (kbd "TAB")) #'scrubjay-take-next-edit))
   (scrubjay-take-next-edit)
   (should (looking-at "width \\* height"))
   (should scrubjay-next-edit-shown)
   (scrubjay-take-next-edit)
   (should (equal (buffer-string) "'😀'\ndef area(breadth, height):\n    return '😀', breadth * height\n"))
   (should-not (eq (key-binding (kbd "TAB")) #'scrubjay-take-next-edit))
   (should (equal (emacs-tests--daemon-text) (buffer-string)))))

(ert-deftest emacs-tests-a-next-edit-that-is-dropped-does-not-come-back ()
  (emacs-tests--renaming "span"
   (scrubjay-drop-next-edit)
   (should-not scrubjay-next-edit-shown)
   (let ((edits 'none))
     (scrubjay-server-request :textDocument/copilotInlineEdit
                              `(:textDocument (:uri ,(scrubjay-document-uri) :version ,(scrubjay-document-version)))
                              (lambda (answer) (setq edits (plist-get answer :edits))))
     (emacs-tests--wait (not (eq edits 'none)))
     (should (equal edits [])))))

(ert-deftest emacs-tests-a-change-takes-a-next-edit-away ()
  (emacs-tests--renaming "extent"
   (let ((edit scrubjay-next-edit-shown))
     (insert "x")
     (scrubjay--post-command)
     (should-not scrubjay-next-edit-shown)
     (should-not scrubjay-next-edit--overlay)
     (should-error (scrubjay-take-next-edit) :type 'user-error)
     (should-error (scrubjay-next-edit--make edit) :type 'user-error))))

(ert-deftest emacs-tests-only-files-of-the-context-are-preloaded ()
  (defvar gptel-context)
  (let ((gptel-context (list (list (getenv "EMACS_TEST_FILE") :lines nil))))
    (should (scrubjay-gptel--in-context-p (getenv "EMACS_TEST_FILE")))
    (should-not (scrubjay-gptel--in-context-p (getenv "EMACS_TEST_PACKAGE"))))
  (should (equal (scrubjay-gptel--silenced '(:model "m" :stream t :max_tokens 9 :messages []))
                 '(:n_predict 0 :stream :json-false :model "m" :messages []))))

(provide 'emacs_tests)
;;; emacs_tests.el ends here
